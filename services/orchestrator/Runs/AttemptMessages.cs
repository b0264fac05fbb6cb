namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>From the sweeper: nobody claimed an offer in time.</summary>
public sealed record OfferExpired
{
    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>The attempt's fence.</summary>
    public required long Fence { get; init; }
}

/// <summary>From the sweeper: a lease was not renewed in time.</summary>
public sealed record LeaseExpired
{
    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>The attempt's fence.</summary>
    public required long Fence { get; init; }
}

/// <summary>From the sweeper: a step has waited too long for a worker.</summary>
public sealed record QueueExpired
{
    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Position of the step.</summary>
    public required int Step { get; init; }
}

/// <summary>From the sweeper: an attempt has run too long.</summary>
public sealed record AttemptExpired
{
    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>The attempt's fence.</summary>
    public required long Fence { get; init; }
}

/// <summary>From the sweeper: the time of a whole run is over.</summary>
public sealed record RunExpired
{
    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }
}

/// <summary>Whoever had the attempt has left, or died with the process that was here before.</summary>
public sealed record WorkerGone
{
    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>The attempt's fence.</summary>
    public required long Fence { get; init; }

    /// <summary>True when the process died; a worker that leaves in order has had time to hand its attempts back.</summary>
    public bool Died { get; init; }
}
