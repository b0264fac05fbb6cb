using System.CommandLine;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Tinyml.Http;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary><c>tinyml logs</c>: what the steps of a run wrote.</summary>
internal static class LogsCommand
{
    private static readonly TimeSpan FollowPeriod = TimeSpan.FromMilliseconds(500);

    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var id = RunId.Argument();
        var follow = new Option<bool>("--follow", "-f") { Description = "Go on until the run has ended." };
        var command = new Command("logs", "Shows the logs of a run's steps.") { id, follow };
        command.SetAction(async (parsed, cancellation) =>
        {
            var run = RunId.Parse(parsed.GetRequiredValue(id));
            var json = global.WantsJson(parsed);
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            var logs = await ReadAsync(session.Api, run, parsed.GetValue(follow), text =>
            {
                if (!json)
                    terminal.OutputWriter.Write(text);
            }, cancellation);
            if (json)
                terminal.WriteJson(new { run, steps = logs });
            return ExitCodes.Done;
        });
        return command;
    }

    private static async Task<IReadOnlyList<StepLog>> ReadAsync(ApiClient api, Guid id, bool follow, Action<string> write, CancellationToken cancellation)
    {
        var logs = new SortedDictionary<int, StepLog>();
        while (true)
        {
            // Before the logs: what is written after this is read once more, also when it says that the run has ended.
            var run = await api.GetAsync<RunResource>($"v1/runs/{id}", cancellation);
            foreach (var step in run.Steps)
            {
                var text = await api.GetTextAsync($"v1/runs/{id}/steps/{step.Step}/logs", cancellation);
                var known = logs.GetValueOrDefault(step.Step)?.Text.Length ?? 0;
                if (text.Length > known)
                    write(text[known..] + (text.EndsWith('\n') ? "" : "\n"));
                logs[step.Step] = new StepLog { Step = step.Step, Uses = step.Uses, Text = text };
            }
            if (!follow || RunStates.IsTerminal(run.State))
                return [.. logs.Values];
            await Task.Delay(FollowPeriod, TimeProvider.System, cancellation);
        }
    }

    private sealed record StepLog
    {
        public required int Step { get; init; }

        public required string Uses { get; init; }

        public required string Text { get; init; }
    }
}
