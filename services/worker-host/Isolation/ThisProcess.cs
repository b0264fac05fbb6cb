using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.WorkerHost.Attempts;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>The worker's own process: for transformers that are managed code all through.</summary>
internal sealed class ThisProcess(IReadOnlyList<IArtifactCheck> checks) : ITransformPlace
{
    public void Prepare()
    {
    }

    // A thread of its own: the work is synchronous and long, and the pool's threads are needed for messages.
    public Task<TransformResult> RunAsync(ITransformer transformer, TransformCall call, IProgress<TransformProgress> progress, AttemptLog log, CancellationToken stop) =>
        Task.Factory.StartNew(
            () => call.Run(transformer, checks, progress, stop),
            stop,
            TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach,
            TaskScheduler.Default);

    public void Dispose()
    {
    }
}
