namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>A manifest of a repository.</summary>
internal sealed record ManifestRecord
{
    /// <summary>What it is served as.</summary>
    public required string MediaType { get; init; }

    /// <summary>How long it is.</summary>
    public required long Size { get; init; }

    /// <summary>True when a client pushed it: then it stays until a client deletes it. One of a packaged image goes with the image's file.</summary>
    public required bool IsPushed { get; init; }

    /// <summary>Configuration and layers.</summary>
    public required IReadOnlyList<string> Blobs { get; init; }

    /// <summary>Of an index: manifests of the same repository.</summary>
    public required IReadOnlyList<string> Manifests { get; init; }

    /// <summary>The manifest that it says something of.</summary>
    public string? Subject { get; init; }
}
