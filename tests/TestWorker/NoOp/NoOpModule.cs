using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.WorkerHost;

namespace TinyMLaaS.TestWorker.NoOp;

/// <summary>A worker whose steps cost next to nothing, so that what is measured is everything around them. Managed code all through, so nothing needs a process of its own.</summary>
internal sealed class NoOpModule : WorkerModule
{
    /// <summary>The argument with which the program is this worker.</summary>
    public const string Argument = "noop";

    public override string Name => "noop";

    protected override IReadOnlyList<ITransformer> CreateTransformers() => [new Copy(), new Wait()];
}
