using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Spectre.Console;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary><c>tinyml runs</c>: the newest runs.</summary>
internal static class RunsCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var command = new Command("runs", "Lists the runs, newest first.");
        command.SetAction(async (parsed, cancellation) =>
        {
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            var page = await session.Api.GetAsync<JsonElement>("v1/runs", cancellation);
            if (global.WantsJson(parsed))
                terminal.WriteJson(page);
            else
                terminal.Output.Write(Draw(page.Deserialize<Page<RunResource>>(ContractJson.Options)!.Items));
            return ExitCodes.Done;
        });
        return command;
    }

    private static Table Draw(IEnumerable<RunResource> runs)
    {
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn(new TableColumn("run").NoWrap());
        table.AddColumn(new TableColumn("state").NoWrap());
        table.AddColumn("model");
        table.AddColumn(new TableColumn("accepted (UTC)").NoWrap());
        foreach (var run in runs)
            table.AddRow(new Text(run.Id.ToString()), new Text(run.State), new Text(run.ModelName), new Text(run.AcceptedAt.UtcDateTime.ToString("MM-dd HH:mm:ss", CultureInfo.InvariantCulture)));
        return table;
    }
}
