namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>The owner of a run asked for its end. What waited is cancelled with it; what runs is being stopped.</summary>
public sealed record RunCancelling
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Place in the run's event log; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>Why, for people.</summary>
    public string? Reason { get; init; }
}
