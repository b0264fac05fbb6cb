using System.Text.Json.Nodes;

namespace TinyMLaaS.Benchmarks.Orchestration;

/// <summary>Times of one kind, in milliseconds.</summary>
/// <param name="values">At least one.</param>
internal sealed class Sample(IEnumerable<double> values)
{
    private readonly double[] _sorted = [.. values.Order()];

    /// <summary>How many there are.</summary>
    public int Count => _sorted.Length;

    /// <summary>The smallest value that at least half of them do not exceed.</summary>
    public double P50 => Rank(0.50);

    /// <summary>The same for 99 of 100; of fewer than 100 it is the largest.</summary>
    public double P99 => Rank(0.99);

    /// <summary>Both with the count.</summary>
    public JsonObject Json => new() { ["p50Ms"] = Math.Round(P50, 1), ["p99Ms"] = Math.Round(P99, 1), ["count"] = Count };

    private double Rank(double share) => _sorted[Math.Clamp((int)Math.Ceiling(share * _sorted.Length) - 1, 0, _sorted.Length - 1)];
}
