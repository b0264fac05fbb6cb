namespace TinyMLaaS.Contracts.Steps;

/// <summary>Event to the workers: whoever runs this attempt stops now. A help for speed; the reply to a heartbeat is the guarantee.</summary>
public sealed record CancelAttempt
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

    /// <summary>Why: <see cref="StopReasons"/>; absent: <c>cancelled</c>.</summary>
    public string? Reason { get; init; }
}
