using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Contracts.Datasets;

/// <summary>A dataset as one run sees it: resolved when the run was submitted, so a later change of the name does not reach it.</summary>
public sealed record DatasetRef
{
    /// <summary>The name it was registered under.</summary>
    public required string Name { get; init; }

    /// <summary>The stored bytes; absent for a dataset that stays on its site.</summary>
    public ArtifactRef? Artifact { get; init; }

    /// <summary>The site that holds an on-site dataset; absent for a stored one.</summary>
    public string? Site { get; init; }

    /// <summary>The path of an on-site dataset on its site's nodes; absent for a stored one.</summary>
    public string? Path { get; init; }
}
