namespace TinyMLaaS.Contracts;

/// <summary>Why an attempt, a step or a run failed. <see cref="Code"/> is stable; nobody parses <see cref="Message"/>.</summary>
public sealed record Failure
{
    /// <summary>Stable, kebab-case, e.g. <c>unsupported-operator</c>.</summary>
    public required string Code { get; init; }

    /// <summary>What was attempted, the thing by name, got and expected, what to do.</summary>
    public required string Message { get; init; }

    /// <summary>False when the user's model or options are wrong: another attempt would end alike.</summary>
    public required bool Retryable { get; init; }
}
