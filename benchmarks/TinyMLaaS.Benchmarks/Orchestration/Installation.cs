namespace TinyMLaaS.Benchmarks.Orchestration;

/// <summary>Services that run, to be measured.</summary>
internal abstract class Installation : IAsyncDisposable
{
    /// <summary>The lease of an attempt, in seconds.</summary>
    protected const int LeaseSeconds = 5;

    /// <summary>Where clients reach it.</summary>
    public abstract Uri Url { get; }

    /// <summary>Its processes by what they do.</summary>
    public abstract IReadOnlyDictionary<string, int[]> Processes { get; }

    /// <summary>Transactions that the database has committed so far; null when it does not count them.</summary>
    public virtual Task<long?> CommitsAsync() => Task.FromResult<long?>(null);

    /// <summary>Kills the process of a worker; false when there is no process of a worker alone.</summary>
    public virtual Task<bool> KillWorkerAsync(int process) => Task.FromResult(false);

    /// <summary>Starts the worker that was killed again.</summary>
    public virtual Task RestartWorkerAsync() => Task.CompletedTask;

    public abstract ValueTask DisposeAsync();

    /// <summary>The program of the test worker.</summary>
    protected static string WorkerAssembly => typeof(TestWorker.NoOp.NoOpModule).Assembly.Location;
}
