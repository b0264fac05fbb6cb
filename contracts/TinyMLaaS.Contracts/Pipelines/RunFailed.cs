namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>A run ended because a step or an evaluation failed for good.</summary>
public sealed record RunFailed
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Place in the run's event log; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>The step that failed, counting from 1; absent when an evaluation did or the time of the whole run was over.</summary>
    public int? Step { get; init; }

    /// <summary>Why.</summary>
    public required Failure Failure { get; init; }
}
