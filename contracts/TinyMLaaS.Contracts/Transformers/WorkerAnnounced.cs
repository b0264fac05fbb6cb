namespace TinyMLaaS.Contracts.Transformers;

/// <summary>Event: a worker instance is there and offers these transformers. Sent at start and again every few seconds; silence means it is gone.</summary>
public sealed record WorkerAnnounced
{
    /// <summary>The worker kind, e.g. <c>compiler</c>.</summary>
    public required string Worker { get; init; }

    /// <summary>The instance, unique for each start of a process.</summary>
    public required string Instance { get; init; }

    /// <summary>The queue that it takes offers from.</summary>
    public required string Queue { get; init; }

    /// <summary>How many attempts it runs at once.</summary>
    public required int Slots { get; init; }

    /// <summary>What it can do.</summary>
    public required IReadOnlyList<TransformerDescriptor> Transformers { get; init; }

    /// <summary>When it was sent, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>True for the last announcement of an instance that ends.</summary>
    public bool Leaving { get; init; }
}
