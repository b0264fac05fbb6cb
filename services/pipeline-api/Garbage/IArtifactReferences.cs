using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.PipelineApi.Garbage;

/// <summary>Something that refers to artifacts.</summary>
internal interface IArtifactReferences
{
    /// <summary>Every artifact that it refers to at some moment after the call; one may come more than once. A reading that cannot be complete is an exception.</summary>
    IAsyncEnumerable<ArtifactReference> ReadAsync(CancellationToken cancellation);
}
