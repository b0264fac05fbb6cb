using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ArtifactStore.Uploads;

/// <summary>How a request about an upload ended.</summary>
internal abstract record UploadResult
{
    private UploadResult()
    {
    }

    /// <summary>It goes on from here.</summary>
    internal sealed record Open(UploadResource Upload) : UploadResult;

    /// <summary>The artifact is there already; nothing needs to be sent.</summary>
    internal sealed record Known(ArtifactRef Artifact) : UploadResult;

    /// <summary>It became an artifact, or was refused as one and is given up.</summary>
    internal sealed record Ended(StoreResult Result) : UploadResult;

    /// <summary>The part does not begin where the bytes end; nothing was taken.</summary>
    internal sealed record OtherOffset(UploadResource Upload) : UploadResult;

    /// <summary>The body has more bytes than its range; those of the range were taken.</summary>
    internal sealed record TooLong(UploadResource Upload) : UploadResult;

    /// <summary>The sender came again by another connection while this one was still open.</summary>
    internal sealed record TakenOver : UploadResult;

    /// <summary>There is no such upload of the tenant.</summary>
    internal sealed record NotFound : UploadResult;

    /// <summary>The tenant has begun as many as it may.</summary>
    internal sealed record TooMany(int Most) : UploadResult;

    /// <summary>The tenant's uploads hold as many bytes as they may; what was received before is kept.</summary>
    internal sealed record TooManyBytes(long Most) : UploadResult;
}
