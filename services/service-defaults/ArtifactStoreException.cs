namespace TinyMLaaS.ServiceDefaults;

/// <summary>The artifact-store refused a request, or what it sent is not what was asked for.</summary>
public sealed class ArtifactStoreException(string code, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>Code for bytes that do not have the digest or length they were named by.</summary>
    public const string DigestMismatch = "digest-mismatch";

    /// <summary>Code for an artifact that the store does not have.</summary>
    public const string NoSuchArtifact = "no-such-artifact";

    /// <summary>Stable, kebab-case: one of the constants here, or the code of the store's own problem document.</summary>
    public string Code { get; } = code;
}
