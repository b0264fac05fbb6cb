using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;

namespace TinyMLaaS.Tinyml.Networks;

/// <summary><c>tinyml compare</c>: two networks on the same data, and how far the second is from the first. Needs no server.</summary>
internal static class CompareCommand
{
    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var a = new Argument<string>("A") { Description = "The reference, an ONNX file." };
        var b = new Argument<string>("B") { Description = "The network to hold against it." };
        var dataset = EvalCommand.DatasetOption();
        var metric = EvalCommand.MetricOption("What to measure of both; top1 by default where the data has labels.");
        var command = new Command("compare", "Measures two networks on the same data, and how far the second is from the first.") { a, b, dataset, metric };
        command.SetAction((parsed, cancellation) =>
        {
            NetworkFile[] networks = [NetworkFile.Read(parsed.GetRequiredValue(a)), NetworkFile.Read(parsed.GetRequiredValue(b))];
            var data = NetworkFile.OpenDataset(parsed.GetRequiredValue(dataset));
            var document = NetworkFile.Ask("", () => Compare(networks, data, EvalCommand.Parse(parsed.GetValue(metric)), cancellation));
            if (global.WantsJson(parsed))
                terminal.WriteJson(document);
            else
                Show(document, terminal);
            return Task.FromResult(ExitCodes.Done);
        });
        return command;
    }

    private static CompareDocument Compare(NetworkFile[] networks, Dataset data, Metric? asked, CancellationToken cancellation)
    {
        var comparison = Evaluation.Compare(networks[1].Bytes, networks[0].Bytes, data, cancellation: cancellation);
        var metric = asked ?? (data.Bind(SampleInput.Of(networks[0].Model.Graph)).HasLabels ? Metric.Top1 : null as Metric?);
        var latencies = EvalCommand.Time(networks, data, cancellation);
        ComparedNetwork Side(int i) => new()
        {
            Bytes = networks[i].Bytes.Length,
            Metric = metric is { } measured ? Evaluation.Measure(networks[i].Bytes, data, measured, cancellation: cancellation).Value : null,
            LatencyMs = latencies[i],
        };
        return new CompareDocument
        {
            MetricName = metric is { } name ? EvalCommand.Name(name) : null,
            A = Side(0),
            B = Side(1),
            SqnrDb = comparison.SqnrDb,
            Agreement = comparison.Agreement,
            MaxAbsDiff = comparison.MaxAbsDiff,
            Samples = comparison.Samples,
        };
    }

    private static void Show(CompareDocument document, Terminal terminal)
    {
        static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "";
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn("");
        table.AddColumn(new TableColumn("A").RightAligned().NoWrap());
        table.AddColumn(new TableColumn("B").RightAligned().NoWrap());
        table.AddRow("bytes", Number(document.A.Bytes, "N0"), Number(document.B.Bytes, "N0"));
        if (document.MetricName is { } name)
            table.AddRow(name, Number(document.A.Metric, "0.0000"), Number(document.B.Metric, "0.0000"));
        table.AddRow("latency, 1 thread", $"{Number(document.A.LatencyMs, "0.000")} ms", $"{Number(document.B.LatencyMs, "0.000")} ms");
        terminal.Output.Write(table);
        terminal.WriteText(string.Create(CultureInfo.InvariantCulture,
            $"B against A on {document.Samples:N0} samples: SQNR {document.SqnrDb:0.0} dB, agreement {document.Agreement:0.0000}, largest difference {document.MaxAbsDiff:G3}"));
    }
}

/// <summary>The document of <c>compare --json</c>.</summary>
internal sealed record CompareDocument
{
    /// <summary>What <c>metric</c> is; absent without labels.</summary>
    public string? MetricName { get; init; }

    public required ComparedNetwork A { get; init; }

    public required ComparedNetwork B { get; init; }

    public required double SqnrDb { get; init; }

    public required double Agreement { get; init; }

    public required double MaxAbsDiff { get; init; }

    public required int Samples { get; init; }
}

/// <summary>One side of a comparison.</summary>
internal sealed record ComparedNetwork
{
    public required long Bytes { get; init; }

    public double? Metric { get; init; }

    public required double LatencyMs { get; init; }
}
