namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>Wakes whoever waits for a run or for work to do. A help for speed: everyone who waits here also looks at the rows from time to time.</summary>
internal sealed class RunChanges : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<Guid, Watched> _watched = [];
    private readonly SemaphoreSlim _work = new(0, 1);

    /// <summary>Runs that somebody watches now.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _watched.Count;
        }
    }

    /// <summary>Watches a run, whether or not there is one, until what is returned is disposed of: nothing is kept of it longer.</summary>
    public RunWatch Watch(Guid run)
    {
        lock (_gate)
        {
            if (!_watched.TryGetValue(run, out var watched))
                _watched.Add(run, watched = new Watched());
            watched.Watchers++;
            return new RunWatch(this, run, watched);
        }
    }

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
        TaskCompletionSource? changed = null;
        lock (_gate)
        {
            if (_watched.TryGetValue(run, out var watched))
                (changed, watched.Change) = (watched.Change, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }
        changed?.SetResult();
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

    internal sealed class Watched
    {
        public TaskCompletionSource Change { get; set; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Watchers { get; set; }
    }

    /// <summary>Somebody's watch on a run.</summary>
    internal sealed class RunWatch(RunChanges changes, Guid run, Watched watched) : IDisposable
    {
        private bool _ended;

        /// <summary>Completes at the next change of the run. Ask for it before looking at the rows, so that no change falls between.</summary>
        public Task Next()
        {
            lock (changes._gate)
                return watched.Change.Task;
        }

        public void Dispose()
        {
            lock (changes._gate)
            {
                if (!_ended && --watched.Watchers == 0)
                    changes._watched.Remove(run);
                _ended = true;
            }
        }
    }
}
