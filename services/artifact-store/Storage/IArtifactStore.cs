namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>
/// Where the bytes lie. What is stored is immutable, complete and durable when <see cref="StoreAsync"/> returns, and is found again
/// under its digest by its tenant alone.
/// </summary>
internal interface IArtifactStore
{
    /// <summary>
    /// Stores <paramref name="content"/> to its end and names it by its digest. The same bytes again change nothing; under another kind
    /// they are the same artifact, known as both.
    /// </summary>
    /// <param name="tenant">The owner.</param>
    /// <param name="kind">One of <see cref="Contracts.Artifacts.ArtifactKinds"/>.</param>
    /// <param name="content">Read once, never held in memory as a whole.</param>
    /// <param name="expected">What the sender says the digest is; null when it says nothing.</param>
    /// <param name="cancellation">When it fires nothing stays behind.</param>
    Task<StoreResult> StoreAsync(TenantName tenant, string kind, Stream content, Digest? expected, CancellationToken cancellation);

    /// <summary>Opens what <paramref name="tenant"/> stored under <paramref name="digest"/>; null when there is nothing.</summary>
    Task<StoredArtifact?> OpenAsync(TenantName tenant, Digest digest, CancellationToken cancellation);

    /// <summary>Why nothing can be stored now, for people; null when all is well.</summary>
    Task<string?> FindFaultAsync(CancellationToken cancellation);
}
