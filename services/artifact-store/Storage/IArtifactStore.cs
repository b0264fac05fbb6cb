namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>
/// Where the bytes lie. What is stored is immutable, complete and durable when <see cref="StoreAsync"/> returns, and is found again
/// under its digest by its tenant alone. Storing, looking up and reading an artifact is a use of it; <see cref="RemoveUnusedAsync"/> takes only
/// what has not been used for a while.
/// </summary>
internal interface IArtifactStore
{
    /// <summary>
    /// Stores <paramref name="content"/> to its end and names it by its digest. The same bytes again change nothing but heal what was damaged; under
    /// another kind they are the same artifact, known as both.
    /// </summary>
    /// <param name="tenant">The owner.</param>
    /// <param name="kind">One of <see cref="StoredKinds"/>.</param>
    /// <param name="content">Read once, never held in memory as a whole.</param>
    /// <param name="expected">What the sender says the digest is; null when it says nothing.</param>
    /// <param name="cancellation">When it fires nothing stays behind.</param>
    Task<StoreResult> StoreAsync(TenantName tenant, string kind, Stream content, Digest? expected, CancellationToken cancellation);

    /// <summary>Opens what <paramref name="tenant"/> stored under <paramref name="digest"/>; null when there is nothing.</summary>
    /// <exception cref="ArtifactDamagedException">It was found damaged before. Reading what is opened throws the same when it is found now.</exception>
    Task<StoredArtifact?> OpenAsync(TenantName tenant, Digest digest, CancellationToken cancellation);

    /// <summary>Opens a part of what <see cref="OpenAsync"/> opens; it is checked by its own digest, and using it is a use of the whole.</summary>
    /// <exception cref="ArtifactDamagedException">The whole was found damaged before. Reading what is opened throws the same when the part is found so now.</exception>
    Task<StoredArtifact?> OpenPartAsync(TenantName tenant, Digest digest, ArtifactPart part, CancellationToken cancellation);

    /// <summary>What was last used before <paramref name="before"/>, by tenant and digest, behind <paramref name="after"/>.</summary>
    /// <param name="before">By the clock of the store.</param>
    /// <param name="after">The last one of the previous call; null to begin.</param>
    /// <param name="most">How many at most.</param>
    /// <param name="cancellation">Stops it.</param>
    Task<IReadOnlyList<UnusedFile>> FindUnusedAsync(DateTimeOffset before, (TenantName Tenant, Digest Digest)? after, int most, CancellationToken cancellation);

    /// <summary>Removes an artifact unless it was used after <paramref name="before"/>.</summary>
    /// <returns>The bytes that were freed; null when it is there no more, or was used meanwhile.</returns>
    Task<long?> RemoveUnusedAsync(TenantName tenant, Digest digest, DateTimeOffset before, CancellationToken cancellation);

    /// <summary>Why nothing can be stored now, for people; null when all is well.</summary>
    Task<string?> FindFaultAsync(CancellationToken cancellation);
}
