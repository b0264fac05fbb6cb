using System.ComponentModel;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>Options of <c>compiler/quantize</c>.</summary>
public sealed record QuantizeOptions
{
    /// <summary>How the range of an activation is chosen from what calibration saw.</summary>
    [Description("How the range of an activation is chosen: 'auto' measures for each tensor which way costs the outputs least, and leaves float what hurts them most; 'min-max' keeps all that calibration saw; 'mse' clips rare values where that makes the expected squared error smaller.")]
    public CalibrationMethod Calibration { get; init; } = CalibrationMethod.Auto;

    /// <summary>A scale for each output channel of a weight, or one for the whole.</summary>
    [Description("Give each output channel of a weight a scale of its own. One scale for all makes the file a little smaller and the network less exact.")]
    public bool PerChannel { get; init; } = true;

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
}
