using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Tinyml.Networks;

/// <summary><c>tinyml inspect</c>: what a network takes, gives and costs. Needs no server.</summary>
internal static class InspectCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var model = new Argument<string>("MODEL") { Description = "The network, an ONNX file." };
        var command = new Command("inspect", "Shows what a network takes, gives and costs.") { model };
        command.SetAction(parsed =>
        {
            var path = parsed.GetRequiredValue(model);
            var (bytes, network) = NetworkFile.Read(path);
            var description = ModelDescription.Of(network);
            if (global.WantsJson(parsed))
                terminal.WriteJson(new InspectDocument
                {
                    Inputs = description.Inputs,
                    Outputs = description.Outputs,
                    Opset = description.Opset,
                    Parameters = description.Parameters,
                    Macs = description.Macs,
                    Bytes = bytes.Length,
                    Operators = description.Operators,
                    PeakActivationBytes = description.PeakActivationBytes,
                });
            else
                Show(path, bytes.Length, description, terminal);
            return ExitCodes.Done;
        });
        return command;
    }

    private static void Show(string path, long bytes, ModelDescription description, Terminal terminal)
    {
        var table = new Table().Border(TableBorder.Simple).HideHeaders();
        table.AddColumn(new TableColumn("").NoWrap());
        table.AddColumn("");
        void Row(string name, string value) => table.AddRow(new Text(name), new Text(value));
        Row("file", Path.GetFileName(path));
        foreach (var input in description.Inputs)
            Row("input", Value(input));
        foreach (var output in description.Outputs)
            Row("output", Value(output));
        Row("opset", Number(description.Opset));
        Row("bytes", Number(bytes));
        Row("parameters", Number(description.Parameters));
        Row("MACs", Number(description.Macs));
        Row("peak activations", $"{Number(description.PeakActivationBytes)}{(description.PeakActivationBytes is null ? "" : " bytes")}");
        Row("operators", string.Join(", ", description.Operators.OrderByDescending(o => o.Value).ThenBy(o => o.Key, StringComparer.Ordinal).Select(o => $"{o.Key} x{o.Value}")));
        terminal.Output.Write(table);
    }

    private static string Value(ValueDescription value) =>
        $"{value.Name}: {value.Type ?? "no tensor"} {(value.Shape is { } shape ? $"[{string.Join(", ", shape.Select(e => e ?? "?"))}]" : "of any shape")}";

    private static string Number(long? value) => value?.ToString("N0", CultureInfo.InvariantCulture) ?? "not known";
}

/// <summary>The document of <c>inspect --json</c>.</summary>
internal sealed record InspectDocument
{
    public required IReadOnlyList<ValueDescription> Inputs { get; init; }

    public required IReadOnlyList<ValueDescription> Outputs { get; init; }

    public required long Opset { get; init; }

    public required long Parameters { get; init; }

    /// <summary>Absent when it is not known.</summary>
    public long? Macs { get; init; }

    public required long Bytes { get; init; }

    public required IReadOnlyDictionary<string, int> Operators { get; init; }

    /// <summary>Absent when it is not known.</summary>
    public long? PeakActivationBytes { get; init; }
}
