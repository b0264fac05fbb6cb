namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>An artifact, or a part of one, opened for reading.</summary>
/// <param name="Digest">Its address.</param>
/// <param name="Kinds">The kinds it was stored under, in the order of <see cref="StoredKinds.All"/>.</param>
/// <param name="Content">Checked while it is read; the receiver disposes it.</param>
internal sealed record StoredArtifact(Digest Digest, IReadOnlyList<string> Kinds, ArtifactContent Content);
