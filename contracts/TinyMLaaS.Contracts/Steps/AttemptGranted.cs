namespace TinyMLaaS.Contracts.Steps;

/// <summary>The attempt is leased to the worker that asked.</summary>
public sealed record AttemptGranted
{
    /// <summary>The fence that every further message of the attempt carries.</summary>
    public required long Fence { get; init; }

    /// <summary>The lease lasts this long from now and from each heartbeat.</summary>
    public required TimeSpan Lease { get; init; }

    /// <summary>How often to send a heartbeat.</summary>
    public required TimeSpan HeartbeatEvery { get; init; }
}
