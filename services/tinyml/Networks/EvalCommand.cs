using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;

namespace TinyMLaaS.Tinyml.Networks;

/// <summary><c>tinyml eval</c>: a metric of a network on data of this machine. Needs no server.</summary>
internal static class EvalCommand
{
    public static readonly IReadOnlyList<Metric> Metrics = [Metric.Top1, Metric.AucMse, Metric.Mse];

    public static Command Create(GlobalOptions global, Terminal terminal)
    {
        var model = new Argument<string>("MODEL") { Description = "The network, an ONNX file." };
        var dataset = DatasetOption();
        var metric = MetricOption("What to measure; top1 by default.");
        var command = new Command("eval", "Measures a network on data.") { model, dataset, metric };
        command.SetAction((parsed, cancellation) =>
        {
            var network = NetworkFile.Read(parsed.GetRequiredValue(model));
            var data = NetworkFile.OpenDataset(parsed.GetRequiredValue(dataset));
            var asked = Parse(parsed.GetValue(metric)) ?? Metric.Top1;
            var document = NetworkFile.Ask("", () =>
            {
                var result = Evaluation.Measure(network.Bytes, data, asked, cancellation: cancellation);
                return new EvalDocument { Metric = Name(asked), Value = result.Value, Samples = result.Samples, LatencyMs = Time([network], data, cancellation)[0] };
            });
            if (global.WantsJson(parsed))
                terminal.WriteJson(document);
            else
                terminal.WriteText(string.Create(CultureInfo.InvariantCulture, $"{document.Metric} {document.Value:0.0000} on {document.Samples:N0} samples, {document.LatencyMs:0.000} ms a run on 1 thread"));
            return Task.FromResult(ExitCodes.Done);
        });
        return command;
    }

    public static Option<string> DatasetOption() =>
        new("--dataset") { Description = "The data: a folder, an .npz or a .yaml.", HelpName = "PATH", Required = true };

    public static Option<string?> MetricOption(string description)
    {
        var option = new Option<string?>("--metric") { Description = description, HelpName = string.Join('|', Metrics.Select(Name)) };
        option.AcceptOnlyFromAmong([.. Metrics.Select(Name)]);
        return option;
    }

    public static Metric? Parse(string? name) => name is null ? null : Metrics.Single(m => Name(m) == name);

    public static string Name(Metric metric) => JsonNamingPolicy.KebabCaseLower.ConvertName(metric.ToString());

    /// <summary>Median milliseconds of each network on the dataset's first sample, taking turns.</summary>
    public static IReadOnlyList<double> Time(IReadOnlyList<NetworkFile> networks, Dataset data, CancellationToken cancellation)
    {
        var first = data.Bind(SampleInput.Of(networks[0].Model.Graph)).Samples().First();
        return Latency.MedianMilliseconds([.. networks.Select(n => n.Bytes)], TimeProvider.System, first.Feeds.First(), cancellation: cancellation);
    }
}

/// <summary>The document of <c>eval --json</c>.</summary>
internal sealed record EvalDocument
{
    public required string Metric { get; init; }

    public required double Value { get; init; }

    public required int Samples { get; init; }

    public required double LatencyMs { get; init; }
}
