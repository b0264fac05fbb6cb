namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>One try at a step as HTTP shows it.</summary>
public sealed record AttemptResource
{
    /// <summary>Counts from 1.</summary>
    public required int Attempt { get; init; }

    /// <summary>Strictly increases within the run.</summary>
    public required long Fence { get; init; }

    /// <summary>One of <see cref="AttemptStates"/>.</summary>
    public required string State { get; init; }

    /// <summary>The worker instance that claimed it.</summary>
    public string? Worker { get; init; }

    /// <summary>When it was offered, UTC.</summary>
    public required DateTimeOffset OfferedAt { get; init; }

    /// <summary>When it was claimed, UTC.</summary>
    public DateTimeOffset? StartedAt { get; init; }

    /// <summary>When it ended, UTC.</summary>
    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>Why it failed; absent otherwise.</summary>
    public Failure? Failure { get; init; }
}
