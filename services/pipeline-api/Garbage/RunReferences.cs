using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Runs;

namespace TinyMLaaS.PipelineApi.Garbage;

/// <summary>Inputs, outputs, reports and datasets of runs, and the step cache: what the orchestrator knows.</summary>
internal sealed class RunReferences(OrchestratorUpstream orchestrator) : IArtifactReferences
{
    public IAsyncEnumerable<ArtifactReference> ReadAsync(CancellationToken cancellation) => orchestrator.ReadReferencesAsync(cancellation);
}
