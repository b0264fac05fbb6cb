namespace TinyMLaaS.Orchestrator.Events;

/// <summary>Wakes whoever waits for news. A help for speed: what another process did is not told here.</summary>
internal sealed class EventSignals
{
    /// <summary>Events were committed in this process; they have no position yet.</summary>
    public EventSignal Committed { get; } = new();

    /// <summary>The newest position has moved, by whichever process.</summary>
    public EventSignal Positioned { get; } = new();
}

/// <summary>Something that happens again and again.</summary>
internal sealed class EventSignal
{
    private TaskCompletionSource _next = New();

    /// <summary>Completes the next time. Ask for it before looking at the rows, so that nothing falls between.</summary>
    public Task Next => Volatile.Read(ref _next).Task;

    /// <summary>It happened.</summary>
    public void Set() => Interlocked.Exchange(ref _next, New()).TrySetResult();

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
