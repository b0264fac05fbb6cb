using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Contracts.Steps;

/// <summary>A step's result came from the step cache: no attempt was made.</summary>
public sealed record StepCached
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Position in the run: 1..n are the pipeline's steps, n+1+k is the evaluation of the network after step k (k = 0: the input).</summary>
    public required int Step { get; init; }

    /// <summary>Place in the run's event log; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>What it produced.</summary>
    public required IReadOnlyList<ArtifactRef> Outputs { get; init; }

    /// <summary>Its report.</summary>
    public required ArtifactRef Report { get; init; }

    /// <summary>Scalars of the report.</summary>
    public IReadOnlyDictionary<string, double> Metrics { get; init; } = new Dictionary<string, double>();
}
