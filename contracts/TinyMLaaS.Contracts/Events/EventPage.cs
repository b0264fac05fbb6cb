namespace TinyMLaaS.Contracts.Events;

/// <summary>A part of the event log, oldest first.</summary>
public sealed record EventPage
{
    /// <summary>At most <c>page_size</c> of the events that were asked for.</summary>
    public required IReadOnlyList<CloudEvent> Items { get; init; }

    /// <summary>How far the log has been read: the <c>after</c> of the next request. It moves on even when nothing on the way was asked for.</summary>
    public required long Position { get; init; }
}
