using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Artifacts;

namespace TinyMLaaS.PipelineApi.Garbage;

/// <summary>Manifests that clients have pushed, and all that they are made of: what the artifact-store knows as a registry.</summary>
internal sealed class RegistryReferences(ArtifactStoreUpstream store) : IArtifactReferences
{
    public IAsyncEnumerable<ArtifactReference> ReadAsync(CancellationToken cancellation) => store.ReadReferencesAsync(cancellation);
}
