namespace TinyMLaaS.Contracts;

/// <summary>One thing that is wrong with a request. A refused request carries all of them.</summary>
public sealed record Violation
{
    /// <summary>The pipeline step concerned, counting from 1; absent when it is no step.</summary>
    public int? Step { get; init; }

    /// <summary>JSON pointer into the document, e.g. <c>/steps/1/with/calibration</c>.</summary>
    public required string Field { get; init; }

    /// <summary>Stable, kebab-case, e.g. <c>unknown-transformer</c>.</summary>
    public required string Code { get; init; }

    /// <summary>What was attempted, the thing by name, got and expected, what to do.</summary>
    public required string Message { get; init; }
}
