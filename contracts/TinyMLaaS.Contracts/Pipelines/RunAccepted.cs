namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>The orchestrator has taken a run on; it will reach exactly one terminal state.</summary>
public sealed record RunAccepted
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Place in the run's event log; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset At { get; init; }
}
