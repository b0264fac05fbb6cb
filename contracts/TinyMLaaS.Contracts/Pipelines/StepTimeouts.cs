namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>How long a step may take, as durations (<see cref="Durations"/>); what is left out is as the document's <c>timeouts</c> say.</summary>
public sealed record StepTimeouts
{
    /// <summary>How long it may wait for a worker, each time that it does.</summary>
    public string? Queue { get; init; }

    /// <summary>How long one attempt at it may run.</summary>
    public string? Attempt { get; init; }

    /// <summary>How long its worker may be silent before the lease is over, 5 s to 1 h.</summary>
    public string? Heartbeat { get; init; }
}
