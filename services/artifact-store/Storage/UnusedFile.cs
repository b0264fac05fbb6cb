namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>An artifact that nobody has stored, looked up or read for a while.</summary>
/// <param name="Tenant">The owner.</param>
/// <param name="Digest">Its address.</param>
/// <param name="Size">Bytes on disk.</param>
internal sealed record UnusedFile(TenantName Tenant, Digest Digest, long Size);
