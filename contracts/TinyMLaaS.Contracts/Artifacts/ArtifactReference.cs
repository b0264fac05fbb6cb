namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>Something of a tenant refers to an artifact of it, so the artifact has to stay.</summary>
public sealed record ArtifactReference
{
    /// <summary>The owner of both.</summary>
    public required string Tenant { get; init; }

    /// <summary>Content address.</summary>
    public required string Digest { get; init; }
}
