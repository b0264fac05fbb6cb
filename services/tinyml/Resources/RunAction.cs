using System.CommandLine;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary>A command that asks for something to be done with a run, named as in the API, and shows the run as it is then.</summary>
internal static class RunAction
{
    public static Command Create(GlobalOptions global, Terminal terminal, string name, string description)
    {
        var id = RunId.Argument();
        var command = new Command(name, description) { id };
        command.SetAction(async (parsed, cancellation) =>
        {
            var run = RunId.Parse(parsed.GetRequiredValue(id));
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            var resource = await session.Api.PostAsync<JsonElement>($"v1/runs/{run}/{name}", null, cancellation);
            if (global.WantsJson(parsed))
                terminal.WriteJson(resource);
            else
                terminal.WriteText($"Run {run} {resource.Deserialize<RunResource>(ContractJson.Options)!.State}.");
            return ExitCodes.Done;
        });
        return command;
    }
}
