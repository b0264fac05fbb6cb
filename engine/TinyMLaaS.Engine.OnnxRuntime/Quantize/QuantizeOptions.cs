using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>Options of <c>compiler/quantize</c>.</summary>
public sealed record QuantizeOptions
{
    internal const double DefaultPercentile = 99.999;

    /// <summary>How the range of an activation is chosen from what calibration saw.</summary>
    [Description("How the range of an activation is chosen: 'auto' measures for each tensor which way costs the outputs least, and leaves float what hurts them most; 'min-max' keeps all that calibration saw; 'mse' clips rare values where that makes the expected squared error smaller; 'percentile' keeps a share; 'entropy' loses the least information; 'moving-average' averages the ranges of samples.")]
    public CalibrationMethod Calibration { get; init; } = CalibrationMethod.Auto;

    /// <summary>The share of values that <see cref="CalibrationMethod.Percentile"/> keeps, in percent.</summary>
    [Range(90d, 100d)]
    [Description("With calibration 'percentile': how many percent of a tensor's values its range keeps.")]
    public double Percentile { get; init; } = DefaultPercentile;

    /// <summary>A scale for each output channel of a weight, or one for the whole.</summary>
    [Description("Give each output channel of a weight a scale of its own. One scale for all makes the file a little smaller and the network less exact.")]
    public bool PerChannel { get; init; } = true;

    /// <summary>Weights of 7 bits.</summary>
    [Description("Give weights 7 bits. Processors with AVX2 and without VNNI saturate sums of products of 8 bits; on all others this only makes the network less exact.")]
    public bool ReducedRange { get; init; }

    /// <summary>Whether channels between two operators may be equalized.</summary>
    [Description("With calibration 'auto': make channels between two operators with weights equally large where that brings the rounded outputs nearer.")]
    public bool Equalize { get; init; } = true;

    /// <summary>Names of nodes that stay float.</summary>
    [Description("Names of nodes that stay float. A name that no node has is an error.")]
    public IReadOnlyList<string> Exclude { get; init; } = [];
}

/// <summary>How the range of an activation is chosen.</summary>
public enum CalibrationMethod
{
    /// <summary>For each tensor the way that costs the outputs least, measured on calibration data.</summary>
    Auto,
    /// <summary>From the smallest to the largest value seen.</summary>
    MinMax,
    /// <summary>The range of the least expected squared error.</summary>
    Mse,
    /// <summary>The range that keeps a share of the values.</summary>
    Percentile,
    /// <summary>The range that loses the least information.</summary>
    Entropy,
    /// <summary>Averages of the feeds' smallest and largest values.</summary>
    MovingAverage,
}
