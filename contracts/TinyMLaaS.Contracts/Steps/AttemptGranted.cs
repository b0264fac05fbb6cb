namespace TinyMLaaS.Contracts.Steps;

/// <summary>The attempt is leased to the worker that asked.</summary>
public sealed record AttemptGranted
{
    /// <summary>The fence that every further message of the attempt carries.</summary>
    public required long Fence { get; init; }

    /// <summary>The lease lasts this long from now and from each heartbeat.</summary>
    public required TimeSpan Lease { get; init; }

    /// <summary>How long the attempt may run; absent: as long as it takes.</summary>
    public TimeSpan? Limit { get; init; }

    /// <summary>True when the lease can be renewed after it has run out: the worker goes on with the work until it is told otherwise or <see cref="Limit"/> is over.</summary>
    public bool Waits { get; init; }

    /// <summary>How often to send a heartbeat.</summary>
    public required TimeSpan HeartbeatEvery { get; init; }
}
