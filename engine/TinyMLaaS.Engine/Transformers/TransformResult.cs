using System.Text.Json.Nodes;

namespace TinyMLaaS.Engine.Transformers;

/// <summary>What a transformer made.</summary>
public sealed record TransformResult
{
    /// <summary>The output file in the work folder; null when the report is all there is.</summary>
    public required string? OutputPath { get; init; }

    /// <summary>
    /// What changed, what was skipped and why. Deterministic: no times, no paths of this machine.
    /// A transformer from network to network has <c>before</c> and <c>after</c>, each <c>{bytes, parameters, macs}</c>.
    /// </summary>
    public required JsonObject Report { get; init; }

    /// <summary>Scalars of the report that the run shows.</summary>
    public IReadOnlyDictionary<string, double> Metrics { get; init; } = new Dictionary<string, double>();
}
