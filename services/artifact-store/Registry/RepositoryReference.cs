using TinyMLaaS.ArtifactStore.Storage;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>A pushed manifest needs bytes.</summary>
/// <param name="Tenant">The owner.</param>
/// <param name="Digest">Of the bytes.</param>
/// <param name="Manifest">The manifest that says so; it needs itself, too.</param>
internal sealed record RepositoryReference(TenantName Tenant, Digest Digest, Digest Manifest);
