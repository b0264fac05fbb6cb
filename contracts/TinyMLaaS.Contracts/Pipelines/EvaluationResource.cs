namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>A measurement of one network of a run as HTTP shows it.</summary>
public sealed record EvaluationResource
{
    /// <summary>The step whose output is measured; 0 is the input of the run.</summary>
    public required int AfterStep { get; init; }

    /// <summary>The metric asked for.</summary>
    public required string Metric { get; init; }

    /// <summary>Its value, a fraction where the metric is one; absent until it is measured.</summary>
    public double? Value { get; init; }

    /// <summary>The attempts behind it.</summary>
    public required StepResource Work { get; init; }
}
