namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>An artifact that nobody has stored, looked up or read for a while.</summary>
public sealed record UnusedArtifact
{
    /// <summary>The owner.</summary>
    public required string Tenant { get; init; }

    /// <summary>Content address.</summary>
    public required string Digest { get; init; }

    /// <summary>Bytes on disk.</summary>
    public required long Size { get; init; }
}
