using System.CommandLine;
using System.Text;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Tinyml.Http;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary><c>tinyml logs</c>: what the steps of a run wrote.</summary>
internal static class LogsCommand
{
    private const string Page = "application/json";

    // A page is asked for again at the latest after this: a server that has gone is noticed, and proxies cut nothing off.
    private const int WaitSeconds = 25;

    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var id = RunId.Argument();
        var follow = new Option<bool>("--follow", "-f") { Description = "Go on until the run has ended." };
        var only = new Option<int?>("--step") { Description = "One step only, counted from 1.", HelpName = "N" };
        var command = new Command("logs", "Shows the logs of a run's steps.") { id, only, follow };
        command.SetAction(async (parsed, cancellation) =>
        {
            var run = RunId.Parse(parsed.GetRequiredValue(id));
            var json = global.WantsJson(parsed);
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            var steps = (await session.Api.GetAsync<RunResource>($"v1/runs/{run}", cancellation)).Steps;
            if (parsed.GetValue(only) is { } wanted)
            {
                if (steps.All(s => s.Step != wanted))
                    throw new CommandException(ExitCodes.WrongInput, "no-such-step", $"Run {run} has no step {wanted}. Expected 1{(steps.Count > 1 ? $" to {steps.Count}" : "")}.");
                steps = [.. steps.Where(s => s.Step == wanted)];
            }
            var logs = new List<StepLog>();
            // One after another, as they run: what a step writes while another one is followed is there when its turn comes.
            foreach (var step in steps)
                logs.Add(await ReadAsync(session.Api, run, step, parsed.GetValue(follow), json ? null : terminal.OutputWriter, cancellation));
            if (json)
                terminal.WriteJson(new { run, steps = logs });
            return ExitCodes.Done;
        });
        return command;
    }

    private static async Task<StepLog> ReadAsync(ApiClient api, Guid run, StepResource step, bool follow, TextWriter? output, CancellationToken cancellation)
    {
        var text = new StringBuilder();
        for (var after = 0; ;)
        {
            var wait = follow ? $"&wait={WaitSeconds}s" : "";
            // By the numbers of the lines, so that a connection that is lost in between costs no line and repeats none.
            var page = await api.GetAsync<StepLogPage>($"v1/runs/{run}/steps/{step.Step}/logs?after={after}{wait}", Page, cancellation);
            foreach (var line in page.Items)
            {
                if (output is null)
                    text.Append(line.Text).Append('\n');
                else
                    await output.WriteAsync(line.Text + "\n");
            }
            if (output is not null)
                await output.FlushAsync(cancellation);
            after = page.Position;
            if (follow ? page.Ended : page.Items.Count == 0 || page.Ended)
                return new StepLog { Step = step.Step, Uses = step.Uses, Text = text.ToString() };
        }
    }

    private sealed record StepLog
    {
        public required int Step { get; init; }

        public required string Uses { get; init; }

        public required string Text { get; init; }
    }
}
