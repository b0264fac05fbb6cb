using System.ComponentModel;

namespace TinyMLaaS.Engine.OnnxRuntime.QuantizeDynamic;

/// <summary>Options of <c>compiler/quantize-dynamic</c>.</summary>
public sealed record QuantizeDynamicOptions
{
    /// <summary>A scale for each column of a weight, or one for the whole.</summary>
    [Description("Give each output column of a weight a scale of its own. One scale for all makes the file a little smaller and the network less exact.")]
    public bool PerChannel { get; init; } = true;

    /// <summary>Weights of 7 bits.</summary>
    [Description("Give weights 7 bits. Processors with AVX2 and without VNNI saturate sums of products of 8 bits; on all others this only makes the network less exact.")]
    public bool ReducedRange { get; init; }

    /// <summary>Names of nodes that stay float.</summary>
    [Description("Names of nodes that stay float. A name that no node has is an error.")]
    public IReadOnlyList<string> Exclude { get; init; } = [];
}
