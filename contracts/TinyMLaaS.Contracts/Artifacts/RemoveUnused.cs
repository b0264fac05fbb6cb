namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>Request to the artifact-store: remove these, each unless it was used meanwhile. Removing again changes nothing.</summary>
public sealed record RemoveUnused
{
    /// <summary>The moment of <see cref="UnusedArtifacts"/>.</summary>
    public required DateTimeOffset Before { get; init; }

    /// <summary>What nothing refers to.</summary>
    public required IReadOnlyList<ArtifactReference> Artifacts { get; init; }
}
