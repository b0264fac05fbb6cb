using System.CommandLine;
using System.Text.Json;
using Spectre.Console;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Tinyml.Servers;

namespace TinyMLaaS.Tinyml.Resources;

/// <summary><c>tinyml transformers</c>: the catalogue, or the options of one.</summary>
internal static class TransformersCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var name = new Argument<string?>("NAME") { Description = "One transformer, e.g. compiler/quantize.", Arity = ArgumentArity.ZeroOrOne };
        var command = new Command("transformers", "Lists the transformers, or shows one with its options.") { name };
        command.SetAction(async (parsed, cancellation) =>
        {
            await using var session = await ServerSession.OpenAsync(global.Server(parsed), TimeProvider.System, terminal.Say, cancellation);
            var one = parsed.GetValue(name);
            var resource = await session.Api.GetAsync<JsonElement>(one is null ? "v1/transformers" : $"v1/transformers/{string.Join('/', one.Split('/').Select(Uri.EscapeDataString))}", cancellation);
            if (global.WantsJson(parsed))
                terminal.WriteJson(resource);
            else if (one is null)
                List(resource.Deserialize<Page<TransformerResource>>(ContractJson.Options)!.Items, terminal);
            else
                Show(resource.Deserialize<TransformerResource>(ContractJson.Options)!.Descriptor, terminal);
            return ExitCodes.Done;
        });
        return command;
    }

    private static void List(IEnumerable<TransformerResource> transformers, Terminal terminal)
    {
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn(new TableColumn("name").NoWrap());
        table.AddColumn(new TableColumn("takes").NoWrap());
        table.AddColumn(new TableColumn("makes").NoWrap());
        table.AddColumn("what it does");
        foreach (var one in transformers.Select(t => t.Descriptor))
            table.AddRow(new Text(one.Name), new Text(string.Join(", ", one.Accepts)), new Text(one.Produces), new Text(one.Summary));
        terminal.Output.Write(table);
    }

    private static void Show(TransformerDescriptor one, Terminal terminal)
    {
        terminal.Output.Write(new Text($"{one.Name} {one.Version}: {one.Summary}\n"));
        terminal.WriteText($"takes {string.Join(", ", one.Accepts)}; makes {one.Produces}");
        foreach (var (role, required) in one.Datasets.OrderBy(d => d.Key, StringComparer.Ordinal))
            terminal.WriteText($"dataset {role}: {(required ? "required" : "optional")}");
        if (!one.Options.TryGetProperty("properties", out var properties) || properties.ValueKind != JsonValueKind.Object)
            return;
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn(new TableColumn("option").NoWrap());
        table.AddColumn("values");
        table.AddColumn(new TableColumn("default"));
        table.AddColumn("meaning");
        foreach (var property in properties.EnumerateObject())
            table.AddRow(new Text(property.Name), new Text(Values(property.Value)), new Text(Raw(property.Value, "default")), new Text(Plain(property.Value, "description")));
        terminal.Output.Write(table);
    }

    private static string Values(JsonElement option)
    {
        if (option.TryGetProperty("enum", out var values) && values.ValueKind == JsonValueKind.Array)
            return string.Join(", ", values.EnumerateArray().Select(v => v.ToString()));
        var (minimum, maximum) = (Raw(option, "minimum"), Raw(option, "maximum"));
        var type = option.TryGetProperty("type", out var named) ? named.ValueKind == JsonValueKind.Array ? string.Join(" or ", named.EnumerateArray().Select(v => v.ToString())) : named.ToString() : "";
        return minimum.Length + maximum.Length == 0 ? type : $"{type} {minimum} to {maximum}";
    }

    private static string Raw(JsonElement option, string name) => option.TryGetProperty(name, out var value) ? value.GetRawText() : "";

    private static string Plain(JsonElement option, string name) => option.TryGetProperty(name, out var value) ? value.ToString() : "";
}
