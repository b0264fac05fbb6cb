namespace TinyMLaaS.Contracts.Registry;

/// <summary>Codes of refusals under <c>/v2</c>, as the OCI distribution specification names them.</summary>
public static class RegistryCodes
{
    /// <summary>There is no such blob.</summary>
    public const string BlobUnknown = "BLOB_UNKNOWN";

    /// <summary>What was sent for an upload cannot be taken.</summary>
    public const string BlobUploadInvalid = "BLOB_UPLOAD_INVALID";

    /// <summary>There is no such upload.</summary>
    public const string BlobUploadUnknown = "BLOB_UPLOAD_UNKNOWN";

    /// <summary>The digest cannot be read, or is not that of the bytes.</summary>
    public const string DigestInvalid = "DIGEST_INVALID";

    /// <summary>The manifest refers to something that is not there.</summary>
    public const string ManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN";

    /// <summary>The manifest, or its tag, is wrong.</summary>
    public const string ManifestInvalid = "MANIFEST_INVALID";

    /// <summary>There is no such manifest.</summary>
    public const string ManifestUnknown = "MANIFEST_UNKNOWN";

    /// <summary>The repository's name is wrong.</summary>
    public const string NameInvalid = "NAME_INVALID";

    /// <summary>The caller has no such repository.</summary>
    public const string NameUnknown = "NAME_UNKNOWN";

    /// <summary>A length is wrong, or more than is taken.</summary>
    public const string SizeInvalid = "SIZE_INVALID";

    /// <summary>Who calls is not known.</summary>
    public const string Unauthorized = "UNAUTHORIZED";

    /// <summary>Who calls may not do this.</summary>
    public const string Denied = "DENIED";

    /// <summary>This registry does not do this.</summary>
    public const string Unsupported = "UNSUPPORTED";

    /// <summary>Later.</summary>
    public const string TooManyRequests = "TOOMANYREQUESTS";

    /// <summary>The registry cannot answer now. Not of the specification, which has no code for it.</summary>
    public const string Unavailable = "UNAVAILABLE";
}
