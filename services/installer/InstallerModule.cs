using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Bundle;
using TinyMLaaS.WorkerHost;

namespace TinyMLaaS.Installer;

/// <summary>The worker that packages networks for where they run.</summary>
public sealed class InstallerModule : WorkerModule
{
    /// <inheritdoc/>
    public override string Name => "installer";

    /// <inheritdoc/>
    protected override IReadOnlyList<ITransformer> CreateTransformers() => [new Bundle()];
}
