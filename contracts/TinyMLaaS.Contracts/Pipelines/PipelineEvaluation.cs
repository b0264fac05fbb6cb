namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>What is measured before and after each step.</summary>
public sealed record PipelineEvaluation
{
    /// <summary>Name of a dataset.</summary>
    public required string Dataset { get; init; }

    /// <summary>One of <c>top1, auc-mse, mse, sqnr, agreement</c>.</summary>
    public required string Metric { get; init; }
}
