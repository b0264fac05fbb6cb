using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.WorkerHost.Attempts;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>Where the transformers of a worker run.</summary>
internal interface ITransformPlace : IDisposable
{
    /// <summary>Makes ready what the next piece of work needs.</summary>
    void Prepare();

    /// <summary>Does the work elsewhere than on the calling thread.</summary>
    /// <param name="transformer">What to run.</param>
    /// <param name="call">What to run it on.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="log">Takes what is worth keeping.</param>
    /// <param name="stop">Ends the work.</param>
    /// <exception cref="TransformRejectedException">Model, options or data are wrong.</exception>
    /// <exception cref="AttemptFailedException">The work ended without a result for a reason that has a code.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    Task<TransformResult> RunAsync(ITransformer transformer, TransformCall call, IProgress<TransformProgress> progress, AttemptLog log, CancellationToken stop);
}
