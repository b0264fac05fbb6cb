using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.TestWorker.NoOp;

/// <summary><c>noop/wait</c>: tells its process and waits until it is stopped.</summary>
internal sealed class Wait : ITransformer
{
    public TransformerInfo Info { get; } = new()
    {
        Name = "noop/wait",
        Version = "1",
        Summary = "Waits to be stopped.",
        Accepts = ["onnx"],
        Produces = "onnx",
        Options = typeof(NoOptions),
    };

    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        progress.Report(new TransformProgress(0.5, $"process {Environment.ProcessId}"));
        cancellation.WaitHandle.WaitOne();
        throw new OperationCanceledException(cancellation);
    }
}
