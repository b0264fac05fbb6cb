using System.CommandLine;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Tinyml.Runs;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary><c>tinyml run-status</c>: one run with its steps.</summary>
internal static class RunStatusCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var id = RunId.Argument();
        var command = new Command("run-status", "Shows a run and its steps.") { id };
        command.SetAction(async (parsed, cancellation) =>
        {
            var run = RunId.Parse(parsed.GetRequiredValue(id));
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            var resource = await session.Api.GetAsync<JsonElement>($"v1/runs/{run}", cancellation);
            if (global.WantsJson(parsed))
                terminal.WriteJson(resource);
            else
                Show(resource.Deserialize<RunResource>(ContractJson.Options)!, terminal);
            return ExitCodes.Done;
        });
        return command;
    }

    private static void Show(RunResource run, Terminal terminal)
    {
        terminal.WriteText($"{run.Id} of {run.ModelName}: {run.State}");
        foreach (var row in RunRow.Of(run))
            terminal.WriteText($"  {row.Name,-28} {row.State,-10} {(row.Cached ? "from the cache" : row.Detail)}".TrimEnd());
        foreach (var step in run.Steps.Where(s => s.CacheMiss is { Reason: CacheMissReasons.Changed }))
            terminal.WriteText($"  step {step.Step} is not in the cache: {string.Join(", ", step.CacheMiss!.Changed)} changed");
        if (run.Failure is { } failure)
            terminal.WriteText($"  {failure.Code}: {failure.Message}");
    }
}
