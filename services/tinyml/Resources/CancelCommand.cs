using System.CommandLine;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary><c>tinyml cancel</c>: ends a run.</summary>
internal static class CancelCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var id = RunId.Argument();
        var command = new Command("cancel", "Cancels a run.") { id };
        command.SetAction(async (parsed, cancellation) =>
        {
            var run = RunId.Parse(parsed.GetRequiredValue(id));
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            var resource = await session.Api.PostAsync<JsonElement>($"v1/runs/{run}/cancel", null, cancellation);
            if (global.WantsJson(parsed))
                terminal.WriteJson(resource);
            else
                terminal.WriteText($"Run {run} {resource.Deserialize<RunResource>(ContractJson.Options)!.State}.");
            return ExitCodes.Done;
        });
        return command;
    }
}
