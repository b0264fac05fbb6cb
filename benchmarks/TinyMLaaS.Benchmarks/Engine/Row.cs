using System.Globalization;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;

namespace TinyMLaaS.Benchmarks.Engine;

/// <summary>A network quantized by us and by the baseline, and what of it lies beyond its limits.</summary>
/// <param name="Name">The network.</param>
/// <param name="Metric">Its metric: float, ours, the baseline's; null without labels.</param>
/// <param name="Sqnr">How far the outputs lie above their error, in dB: ours, the baseline's.</param>
/// <param name="Bytes">Size of the file: ours, the baseline's.</param>
/// <param name="Seconds">What our quantizing took.</param>
internal sealed record Row(string Name, (EvaluationResult Float, double Ours, double Baseline)? Metric, (double Ours, double Baseline) Sqnr, (int Ours, int Baseline) Bytes, double Seconds)
{
    private const double LargestDrop = 0.003;
    private const double LargestAucDrop = 0.005;
    private const int ChanceSamples = 2;

    /// <summary>What misses its limit, each as a line.</summary>
    public IReadOnlyList<string> Misses
    {
        get
        {
            var misses = new List<string>();
            if (Metric is var (reference, ours, _) && ours < LowestMetric(reference) - 1e-9)
                misses.Add(string.Create(CultureInfo.InvariantCulture, $"{Name}: metric {ours:F4}, limit {LowestMetric(reference):F4}"));
            if (Sqnr.Ours < Sqnr.Baseline)
                misses.Add(string.Create(CultureInfo.InvariantCulture, $"{Name}: SQNR {Sqnr.Ours:F2} dB, limit {Sqnr.Baseline:F2} dB"));
            if (Metric is not null && Bytes.Ours > Bytes.Baseline)
                misses.Add(string.Create(CultureInfo.InvariantCulture, $"{Name}: {Bytes.Ours:N0} bytes, limit {Bytes.Baseline:N0}"));
            return misses;
        }
    }

    /// <summary>The row of the table, and a line for each miss.</summary>
    public IEnumerable<string> Lines
    {
        get
        {
            var (reference, metric) = Metric is var (r, ours, baseline) ? (Number(r.Value, "F4"), $"{Number(ours, "F4")}|{Number(baseline, "F4")}") : ("", "");
            yield return $"{(Name.Length > 20 ? Name[..20] : Name),-20} {reference,6} {metric,13} {$"{Number(Sqnr.Ours, "F1")}|{Number(Sqnr.Baseline, "F1")}",12} {$"{Number(Bytes.Ours, "N0")}|{Number(Bytes.Baseline, "N0")}",19} {Number(Seconds, "F1"),4}";
            foreach (var miss in Misses)
                yield return $"  BEYOND ITS LIMIT: {miss}";
        }
    }

    public JsonObject Json => new()
    {
        ["network"] = Name,
        ["metric"] = Metric is var (reference, ours, baseline)
            ? new JsonObject { ["float"] = reference.Value, ["ours"] = ours, ["baseline"] = baseline, ["limit"] = LowestMetric(reference) }
            : null,
        ["sqnrDb"] = new JsonObject { ["ours"] = Math.Round(Sqnr.Ours, 2), ["baseline"] = Math.Round(Sqnr.Baseline, 2) },
        ["bytes"] = new JsonObject { ["ours"] = Bytes.Ours, ["baseline"] = Bytes.Baseline },
        ["seconds"] = Math.Round(Seconds, 1),
        ["withinLimits"] = Misses.Count == 0,
    };

    private static double LowestMetric(EvaluationResult reference) =>
        reference.Value - (reference.Metric == TinyMLaaS.Engine.OnnxRuntime.Evaluate.Metric.AucMse ? LargestAucDrop : Math.Max(LargestDrop, (double)ChanceSamples / reference.Samples));

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
