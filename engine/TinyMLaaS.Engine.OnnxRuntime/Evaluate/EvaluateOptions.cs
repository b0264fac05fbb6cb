using System.ComponentModel;

namespace TinyMLaaS.Engine.OnnxRuntime.Evaluate;

/// <summary>Options of <c>compiler/evaluate</c>.</summary>
public sealed record EvaluateOptions
{
    /// <summary>What to measure.</summary>
    [Description("What to measure: 'top1', 'auc-mse' (anomaly score = mean squared reconstruction error), 'mse', 'sqnr' or 'agreement'.")]
    public Metric Metric { get; init; } = Metric.Top1;
}
