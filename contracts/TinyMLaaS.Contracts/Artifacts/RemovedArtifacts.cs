namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>What a <see cref="RemoveUnused"/> has removed.</summary>
public sealed record RemovedArtifacts
{
    /// <summary>How many artifacts.</summary>
    public required int Count { get; init; }

    /// <summary>Bytes of disk that they took.</summary>
    public required long Bytes { get; init; }
}
