namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>A page of artifacts that have not been used since a moment; empty behind the last one.</summary>
public sealed record UnusedArtifacts
{
    /// <summary>The moment, by the clock of the store, UTC. What is used after it stays, whenever it is asked to be removed.</summary>
    public required DateTimeOffset Before { get; init; }

    /// <summary>By tenant and digest.</summary>
    public required IReadOnlyList<UnusedArtifact> Artifacts { get; init; }
}
