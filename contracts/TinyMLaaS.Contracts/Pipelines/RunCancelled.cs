namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>A run ended because its owner asked for it.</summary>
public sealed record RunCancelled
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
