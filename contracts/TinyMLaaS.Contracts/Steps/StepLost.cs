namespace TinyMLaaS.Contracts.Steps;

/// <summary>An attempt's offer or lease expired; another attempt follows unless the step's attempts are used up.</summary>
public sealed record StepLost
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Position in the run: 1..n are the pipeline's steps, n+1+k is the evaluation of the network after step k (k = 0: the input).</summary>
    public required int Step { get; init; }

    /// <summary>Counts the tries at this step from 1.</summary>
    public required int Attempt { get; init; }

    /// <summary>Strictly increases with each attempt; a message with an older fence changes nothing.</summary>
    public required long Fence { get; init; }

    /// <summary>Place in the run's event log; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>Why, stable: <c>offer-expired, queue-timeout, heartbeat-timeout, worker-gone</c>.</summary>
    public string? Code { get; init; }

    /// <summary>Why, for people.</summary>
    public required string Reason { get; init; }
}
