using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Float16;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.OnnxRuntime.QuantizeDynamic;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Fuse;
using TinyMLaaS.WorkerHost;

namespace TinyMLaaS.Compiler;

/// <summary>The worker that makes networks smaller without training, and measures them.</summary>
public sealed class CompilerModule : WorkerModule
{
    /// <inheritdoc/>
    public override string Name => "compiler";

    /// <inheritdoc/>
    protected override bool IsIsolated => true;

    /// <inheritdoc/>
    protected override void Prepare()
    {
        // It is refused, and by then ONNX Runtime is loaded.
        _ = LoadCheck.WhyNot([]);
    }

    /// <inheritdoc/>
    protected override IReadOnlyList<ITransformer> CreateTransformers() => [new Fuse(), new Quantize(), new QuantizeDynamic(), new ToFloat16(), new Evaluate()];

    /// <inheritdoc/>
    protected override IReadOnlyList<IArtifactCheck> CreateChecks() => [new OnnxLoadCheck()];
}
