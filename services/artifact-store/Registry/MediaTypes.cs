namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>Media types of manifests. Docker's own are what its daemon pushes from its older image store; they differ from OCI's in nothing that is looked at here.</summary>
internal static class MediaTypes
{
    public const string Index = "application/vnd.oci.image.index.v1+json";

    private const string Manifest = "application/vnd.oci.image.manifest.v1+json";
    private const string DockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
    private const string DockerList = "application/vnd.docker.distribution.manifest.list.v2+json";

    /// <summary>What may be pushed.</summary>
    public static IReadOnlyList<string> All { get; } = [Manifest, Index, DockerManifest, DockerList];

    /// <summary>Whether it is of several manifests.</summary>
    public static bool IsIndex(string mediaType) => mediaType is Index or DockerList;
}
