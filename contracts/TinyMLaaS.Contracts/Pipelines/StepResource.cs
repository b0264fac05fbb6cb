using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>A step as HTTP shows it.</summary>
public sealed record StepResource
{
    /// <summary>Position in the run, counting from 1.</summary>
    public required int Step { get; init; }

    /// <summary>The transformer.</summary>
    public required string Uses { get; init; }

    /// <summary>One of <see cref="StepStates"/>.</summary>
    public required string State { get; init; }

    /// <summary>True when the result came from the step cache.</summary>
    public bool Cached { get; init; }

    /// <summary>Why the result did not come from the step cache; absent when it did, and until that was looked at.</summary>
    public CacheMiss? CacheMiss { get; init; }

    /// <summary>Why a pending step does not run yet, for people.</summary>
    public string? WaitingFor { get; init; }

    /// <summary>Share done of the current attempt, 0 to 1.</summary>
    public double Progress { get; init; }

    /// <summary>What the current attempt is doing, for people.</summary>
    public string? Activity { get; init; }

    /// <summary>Time from the claim of the winning attempt to its commit.</summary>
    public double? Seconds { get; init; }

    /// <summary>What it produced.</summary>
    public IReadOnlyList<ArtifactRef> Outputs { get; init; } = [];

    /// <summary>Its report.</summary>
    public ArtifactRef? Report { get; init; }

    /// <summary>Scalars of the report.</summary>
    public IReadOnlyDictionary<string, double> Metrics { get; init; } = new Dictionary<string, double>();

    /// <summary>Why it failed; absent otherwise.</summary>
    public Failure? Failure { get; init; }

    /// <summary>Every try, in order.</summary>
    public IReadOnlyList<AttemptResource> Attempts { get; init; } = [];
}
