namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>A file inside of an artifact that has a digest of its own.</summary>
/// <param name="Digest">Of these bytes.</param>
/// <param name="Offset">Where they begin.</param>
/// <param name="Length">How many there are.</param>
internal sealed record ArtifactPart(Digest Digest, long Offset, long Length);
