namespace TinyMLaaS.Engine.OnnxRuntime.Evaluate;

/// <summary>A measurement.</summary>
/// <param name="Metric">What was measured.</param>
/// <param name="Value">Its value; a fraction for <c>top1</c>, <c>auc-mse</c> and <c>agreement</c>, decibels for <c>sqnr</c>.</param>
/// <param name="Samples">Samples it was measured on.</param>
public sealed record EvaluationResult(Metric Metric, double Value, int Samples);
