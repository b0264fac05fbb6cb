using System.Globalization;
using Spectre.Console;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>What a run gained, for people.</summary>
internal static class ResultTable
{
    public static void Write(Terminal terminal, string title, NetworkFigures before, NetworkFigures after, EvaluationFigures? evaluation)
    {
        var table = new Table().Border(TableBorder.Simple).Title(new TableTitle(Markup.Escape(title)));
        table.AddColumn("");
        table.AddColumn(new TableColumn("before").RightAligned().NoWrap());
        table.AddColumn(new TableColumn("after").RightAligned().NoWrap());
        table.AddColumn(new TableColumn("change").RightAligned().NoWrap());
        Count(table, "bytes", before.Bytes, after.Bytes);
        Count(table, "parameters", before.Parameters, after.Parameters);
        Count(table, "MACs", before.Macs, after.Macs);
        if (evaluation is { Before: { } was, After: { } now })
        {
            // A fraction of right answers is read in points, any other metric as it is.
            var points = evaluation.Metric is "top1" or "agreement";
            table.AddRow(
                evaluation.Metric, Number(was, "0.0000"), Number(now, "0.0000"),
                points ? $"{Number((now - was) * 100, "+0.00;-0.00;0.00")} points" : Number(now - was, "+0.0000;-0.0000;0"));
        }
        if (before.LatencyMs is { } slow && after.LatencyMs is { } fast)
            table.AddRow("latency, 1 thread", $"{Number(slow, "0.000")} ms", $"{Number(fast, "0.000")} ms", fast > 0 ? $"{Number(slow / fast, "0.00")}x as fast" : "");
        terminal.Output.Write(table);
    }

    public static void WriteFiles(Terminal terminal, IReadOnlyList<OutputFile> files)
    {
        foreach (var file in files.Where(f => f.Kind != ArtifactKinds.Report))
            terminal.WriteText(string.Create(CultureInfo.InvariantCulture, $"{file.Path}  ({file.Kind}, {file.Bytes:N0} bytes)"));
        var reports = files.Where(f => f.Kind == ArtifactKinds.Report).ToList();
        if (reports.Count > 0)
            terminal.WriteText($"{Path.GetDirectoryName(reports[0].Path)}{Path.DirectorySeparatorChar}  ({reports.Count} reports; open the .html)");
    }

    private static void Count(Table table, string name, long? before, long? after)
    {
        if (before is null && after is null)
            return;
        table.AddRow(
            name, before?.ToString("N0", CultureInfo.InvariantCulture) ?? "", after?.ToString("N0", CultureInfo.InvariantCulture) ?? "",
            before is > 0 && after is not null ? $"{Number(((double)after.Value / before.Value - 1) * 100, "+0.0;-0.0;0.0")} %" : "");
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
