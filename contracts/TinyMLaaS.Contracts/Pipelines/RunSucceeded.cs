using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>Every step of a run committed its result.</summary>
public sealed record RunSucceeded
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Place in the run's event log; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>The last step's output.</summary>
    public required ArtifactRef Output { get; init; }
}
