namespace TinyMLaaS.Engine.Transformers;

/// <summary>How far the work is.</summary>
/// <param name="Fraction">Share done, 0 to 1.</param>
/// <param name="Activity">What is being done, for people.</param>
public readonly record struct TransformProgress(double Fraction, string Activity);
