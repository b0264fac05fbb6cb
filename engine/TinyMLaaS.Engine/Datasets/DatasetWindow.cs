namespace TinyMLaaS.Engine.Datasets;

/// <summary>How one sample becomes several network inputs.</summary>
public sealed record DatasetWindow
{
    /// <summary>Entries of the sample's first axis in one window, at least 1.</summary>
    public required int Length { get; init; }

    /// <summary>Entries from the start of a window to the start of the next, at least 1.</summary>
    public int Step { get; init; } = 1;

    /// <summary>Entries of 0, as the network sees them, that stand before the first one of each sample.</summary>
    public int PadBefore { get; init; }

    /// <summary>True when a window is fed as one vector.</summary>
    public bool Flatten { get; init; }

    /// <summary>How the scores or outputs of a sample's windows become one.</summary>
    public WindowReduce Reduce { get; init; }
}

/// <summary>How several windows become one figure.</summary>
public enum WindowReduce
{
    /// <summary>Their arithmetic mean.</summary>
    Mean,
    /// <summary>The largest.</summary>
    Max,
}
