namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>Lines of the log of a step, in the order in which they came.</summary>
public sealed record StepLogPage
{
    /// <summary>The lines.</summary>
    public required IReadOnlyList<StepLogEntry> Items { get; init; }

    /// <summary>The number of the last one; what comes after it has <c>?after=</c> this.</summary>
    public required int Position { get; init; }

    /// <summary>True when the step has ended and nothing comes after these lines.</summary>
    public required bool Ended { get; init; }
}

/// <summary>A line of the log of a step.</summary>
public sealed record StepLogEntry
{
    /// <summary>Counts the lines of the step from 1, over all attempts.</summary>
    public required int Number { get; init; }

    /// <summary>The attempt that wrote it; absent when that is not known.</summary>
    public int? Attempt { get; init; }

    /// <summary>The line, without its end.</summary>
    public required string Text { get; init; }
}
