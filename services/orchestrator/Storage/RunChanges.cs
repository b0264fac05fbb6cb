using System.Collections.Concurrent;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>Wakes whoever waits for a run or for work to do. A help for speed: everyone who waits here also looks at the rows from time to time.</summary>
internal sealed class RunChanges : IDisposable
{
    private readonly ConcurrentDictionary<Guid, TaskCompletionSource> _waiting = new();
    private readonly SemaphoreSlim _work = new(0, 1);

    /// <summary>Completes at the next change of the run. Ask for it before looking at the rows, so that no change falls between.</summary>
    public Task Next(Guid run) => _waiting.GetOrAdd(run, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Waits until there may be something to dispatch, for at most <paramref name="limit"/>; true when there may be.</summary>
    public async Task<bool> NextWorkAsync(TimeSpan limit, TimeProvider time, CancellationToken cancellation)
    {
        using var timeout = new CancellationTokenSource(limit, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellation);
        try
        {
            await _work.WaitAsync(either.Token);
            return true;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return false;
        }
    }

    public void Dispose() => _work.Dispose();

    /// <summary>A change of the run is committed.</summary>
    public void Notify(Guid run)
    {
        if (_waiting.TryRemove(run, out var waiting))
            waiting.TrySetResult();
    }

    /// <summary>Something that the dispatcher looks at has changed.</summary>
    public void NotifyWork()
    {
        try
        {
            _work.Release();
        }
        catch (SemaphoreFullException)
        {
            // Whoever waits is woken already and will see this change too.
        }
    }
}
