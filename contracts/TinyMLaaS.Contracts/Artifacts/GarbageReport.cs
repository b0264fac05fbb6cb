namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>What a garbage collection has found and done.</summary>
public sealed record GarbageReport
{
    /// <summary>True when nothing was removed and the rest says what would have been.</summary>
    public required bool DryRun { get; init; }

    /// <summary>Only what was last used before this was looked at, UTC.</summary>
    public required DateTimeOffset Before { get; init; }

    /// <summary>How many artifacts that were.</summary>
    public required int Unused { get; init; }

    /// <summary>How many of them something refers to; they stay.</summary>
    public required int Referenced { get; init; }

    /// <summary>How many were removed, or would be. With <see cref="Referenced"/> it is less than <see cref="Unused"/> when some were used meanwhile.</summary>
    public required int Removed { get; init; }

    /// <summary>Bytes of disk that are free now, or would be.</summary>
    public required long Bytes { get; init; }
}
