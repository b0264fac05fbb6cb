namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>What is known of an artifact of the kind <c>oci-image</c>.</summary>
internal sealed record PackagedImage
{
    /// <summary>Repositories, without the tenant, that its manifests were added to.</summary>
    public required IReadOnlyList<string> Repositories { get; init; }

    /// <summary>Digests of its manifests.</summary>
    public required IReadOnlyList<string> Manifests { get; init; }

    /// <summary>Where manifests and blobs lie in the file.</summary>
    public required IReadOnlyList<PackagedPart> Parts { get; init; }

    /// <summary>Why the registry has no image of it; null when it has.</summary>
    public string? Refusal { get; init; }
}
