using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>How weights become integers.</summary>
/// <param name="PerChannel">A scale for each output channel.</param>
/// <param name="ReducedRange">7 bits instead of 8: processors with AVX2 and without VNNI add two products of 8 bits in 16, where two of the largest would saturate.</param>
/// <param name="Bits">8 or 4.</param>
/// <param name="IsLeastSquares">Scales of the least squared error instead of those that keep the largest weight.</param>
internal readonly record struct WeightGrid(bool PerChannel, bool ReducedRange, int Bits = 8, bool IsLeastSquares = false)
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
    public QuantizedWeight Of(ReadOnlySpan<float> weight, ReadOnlySpan<long> shape, int channelAxis) => QuantizedWeight.Of(weight, shape, PerChannel ? channelAxis : null, Bits == 4 ? 7 : ReducedRange ? Reduced : 127, IsLeastSquares);
}
