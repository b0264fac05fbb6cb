namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>An ordered list of steps; the same fields in YAML and JSON.</summary>
public sealed record PipelineDocument
{
    /// <summary>Lower-case letters, digits and hyphens.</summary>
    public string? Name { get; init; }

    /// <summary>Measured on the input and after every step that yields a runnable network.</summary>
    public PipelineEvaluation? Evaluate { get; init; }

    /// <summary>How long the run and each of its steps may take.</summary>
    public RunTimeouts? Timeouts { get; init; }

    /// <summary>At least one.</summary>
    public required IReadOnlyList<PipelineStep> Steps { get; init; }
}
