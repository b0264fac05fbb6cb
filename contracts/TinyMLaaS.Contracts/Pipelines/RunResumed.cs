namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>A run that had failed or been cancelled goes on. What had succeeded stays; every other step is pending again.</summary>
public sealed record RunResumed
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Place in the run's event log; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>The first step that is pending again, counting from 1; absent when only evaluations are.</summary>
    public int? Step { get; init; }

    /// <summary>Counts the resumptions of the run from 1.</summary>
    public required int Resumption { get; init; }
}
