using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Contracts.Datasets;

/// <summary>A named dataset as HTTP shows it.</summary>
public sealed record DatasetResource
{
    /// <summary>Its name, unique for its tenant.</summary>
    public required string Name { get; init; }

    /// <summary>Who owns it.</summary>
    public required string Tenant { get; init; }

    /// <summary>The stored bytes.</summary>
    public required ArtifactRef Artifact { get; init; }

    /// <summary>When it was named, UTC.</summary>
    public required DateTimeOffset CreatedAt { get; init; }
}
