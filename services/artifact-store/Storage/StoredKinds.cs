using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>What a file may be stored as: the kinds that clients know, and those that only the registry gives.</summary>
internal static class StoredKinds
{
    /// <summary>A layer or a configuration that was pushed.</summary>
    public const string RegistryBlob = "oci-blob";

    /// <summary>A manifest or an index that was pushed.</summary>
    public const string RegistryManifest = "oci-manifest";

    /// <summary>Every kind, in a fixed order.</summary>
    public static IReadOnlyList<string> All { get; } = [.. ArtifactKinds.All, RegistryBlob, RegistryManifest];
}
