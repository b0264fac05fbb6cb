using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>How weights become integers.</summary>
/// <param name="PerChannel">A scale for each output channel.</param>
/// <param name="ReducedRange">7 bits: processors with AVX2 and without VNNI add two products of 8 bits in 16, where two of the largest would saturate.</param>
internal readonly record struct WeightGrid(bool PerChannel, bool ReducedRange)
{
    // Two products of 255 and this stay below 2^15.
    private const int Reduced = 64;

    /// <summary>Quantizes the weight of an operator.</summary>
    /// <param name="node">The operator.</param>
    /// <param name="weight">Its weight.</param>
    /// <param name="factor">What the weight is multiplied by.</param>
    public QuantizedWeight Of(Node node, Tensor weight, float factor = 1) =>
        Of([.. weight.As<float>().ToArray().Select(w => w * factor)], weight.Shape.AsSpan(), QuantizationPlan.ChannelAxis(node));

    /// <summary>Quantizes a weight.</summary>
    /// <param name="weight">Its finite values.</param>
    /// <param name="shape">Its extents.</param>
    /// <param name="channelAxis">Axis of the output channels.</param>
    public QuantizedWeight Of(ReadOnlySpan<float> weight, ReadOnlySpan<long> shape, int channelAxis) => QuantizedWeight.Of(weight, shape, PerChannel ? channelAxis : null, ReducedRange ? Reduced : 127);
}
