using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Contracts.Models;

/// <summary>A named network as HTTP shows it.</summary>
public sealed record ModelResource
{
    /// <summary>The model.</summary>
    public required Guid Id { get; init; }

    /// <summary>Who owns it.</summary>
    public required string Tenant { get; init; }

    /// <summary>Its name; of several models of one name it means the newest.</summary>
    public required string Name { get; init; }

    /// <summary>The network.</summary>
    public required ArtifactRef Artifact { get; init; }

    /// <summary>When it was named, UTC.</summary>
    public required DateTimeOffset CreatedAt { get; init; }
}
