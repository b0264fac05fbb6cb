using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>How an attempt to store ended. Only <see cref="Stored"/> leaves anything behind.</summary>
internal abstract record StoreResult
{
    private StoreResult()
    {
    }

    /// <summary>It is there; <paramref name="Created"/> is false when it was there before under the same kind.</summary>
    internal sealed record Stored(ArtifactRef Artifact, bool Created) : StoreResult;

    /// <summary>The bytes are not the ones the sender meant.</summary>
    internal sealed record OtherDigest(Digest Actual) : StoreResult;

    /// <summary>There are more bytes than the store takes.</summary>
    internal sealed record TooLarge(long MaxBytes) : StoreResult;

    /// <summary>There are no bytes.</summary>
    internal sealed record Empty : StoreResult;
}
