using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>Options of <c>compiler/quantize</c>.</summary>
public sealed record QuantizeOptions : IValidatedOptions
{
    internal const double DefaultPercentile = 99.999;

    /// <summary>How the range of an activation is chosen from what calibration saw.</summary>
    [Description("How the range of an activation is chosen: 'auto' measures for each tensor which way costs the outputs least, and leaves float what hurts them most; 'min-max' keeps all that calibration saw; 'mse' clips rare values where that makes the expected squared error smaller; 'percentile' keeps a share; 'entropy' loses the least information; 'moving-average' averages the ranges of samples.")]
    public CalibrationMethod Calibration { get; init; } = CalibrationMethod.Auto;

    /// <summary>The share of values that <see cref="CalibrationMethod.Percentile"/> keeps, in percent.</summary>
    [Range(90d, 100d)]
    [Description("With calibration 'percentile': how many percent of a tensor's values its range keeps.")]
    public double Percentile { get; init; } = DefaultPercentile;

    /// <summary>Bits of weights.</summary>
    [Range(4, 8)]
    [Description("Bits of weights, 8 or 4. With 4 the file is about half as large, and ONNX Runtime computes Conv and Gemm with floats, since it has no kernels for such weights.")]
    public int WeightBits { get; init; } = 8;

    /// <summary>Bits of activations.</summary>
    [Range(4, 8)]
    [Description("Bits of activations, 8 or 4. With 4 only 16 values are told apart, for devices whose kernels gain from it: the file is no smaller, and with 'auto' more operators may have to stay float.")]
    public int ActivationBits { get; init; } = 8;

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

    /// <inheritdoc/>
    public IEnumerable<string> Validate()
    {
        foreach (var (name, bits) in new[] { ("weight-bits", WeightBits), ("activation-bits", ActivationBits) })
        {
            if (bits is not (4 or 8))
                yield return $"Option '{name}': got {bits}, expected 8 or 4.";
        }
        if (WeightBits == 4 && ReducedRange)
            yield return "Option 'reduced-range' narrows weights of 8 bits, and 'weight-bits' is 4: leave one of them out.";
    }
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
