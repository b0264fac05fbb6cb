namespace TinyMLaaS.Engine.OnnxRuntime.Evaluate;

/// <summary>How far a network is from a reference.</summary>
/// <param name="SqnrDb">See <see cref="Metric.Sqnr"/>, in dB, -200 to 200 (equal outputs).</param>
/// <param name="Agreement">See <see cref="Metric.Agreement"/>, 0 to 1.</param>
/// <param name="MaxAbsDiff">The largest difference of any two elements of the outputs.</param>
/// <param name="Samples">Samples that were compared.</param>
public sealed record Comparison(double SqnrDb, double Agreement, double MaxAbsDiff, int Samples);
