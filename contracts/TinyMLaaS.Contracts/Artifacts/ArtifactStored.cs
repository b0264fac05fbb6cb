namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>An attempt's result made an artifact an output of its step. One event for each output; a step that comes from the cache stores nothing.</summary>
public sealed record ArtifactStored
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Position in the run: 1..n are the pipeline's steps.</summary>
    public required int Step { get; init; }

    /// <summary>Place in the run's event log; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>What is stored.</summary>
    public required ArtifactRef Artifact { get; init; }
}
