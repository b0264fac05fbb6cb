namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>How long a run and its steps may take, as durations (<see cref="Durations"/>); what is left out has the orchestrator's default.</summary>
public sealed record RunTimeouts
{
    /// <summary>How long a step may wait for a worker, each time that it does.</summary>
    public string? Queue { get; init; }

    /// <summary>How long one attempt at a step may run.</summary>
    public string? Attempt { get; init; }

    /// <summary>How long a worker may be silent before its lease is over, 5 s to 1 h.</summary>
    public string? Heartbeat { get; init; }

    /// <summary>How long the whole run may take, from its acceptance or its last resumption.</summary>
    public string? Total { get; init; }
}
