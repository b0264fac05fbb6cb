using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Conv(x, W, b) * s, where s is one number a channel (or one for all), any group, also depthwise and ConvTranspose:
//   W'[m,...] = W[m,...] * s[m],  b' = b * s
// Div by a constant c, none of it 0, is s = 1 / c.
// A normalization that an exporter split into Mul and Add ends here and in the bias.

/// <summary>Folds the Mul or Div by a constant into the Conv or ConvTranspose before it.</summary>
internal sealed class FoldMulIntoConv : Rule
{
    public override string Name => "fold-mul-into-conv";

    public override Candidate? Match(Node node, ShapeInference types) =>
        Operands.Of(node, "Mul", "Div", n => n.Is("Conv") || n.Is("ConvTranspose")) is var (conv, factor, isDivisor) ? new Found(node, conv, factor, isDivisor) : null;

    private sealed record Found(Node Mul, Node Conv, Value Factor, bool IsDivisor) : Candidate(Mul, Conv)
    {
        private float[] _weight = [];
        private float[]? _bias;

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Mul, 2) ?? Reasons.ReadElsewhere(Conv, Mul) ?? Reasons.NoFloatConstant(Factor, "factor")) is { } blocked)
                return blocked;
            var (layout, wrong) = ConvLayout.Of(Conv);
            if (layout is null)
                return wrong;
            var weight = Conv.Input(1)!.Constant!;
            var (factor, reason) = GemmBias.AlongAxis(Factor, weight.Shape.Length, 1, layout.Channels, "factor");
            if (factor is null)
                return reason;
            var affine = ChannelAffine.OfFactor(factor, IsDivisor);
            _weight = affine.Weight(weight.As<float>(), layout.ChannelOf);
            _bias = Conv.Input(2) is { } bias ? affine.Bias(bias.Constant!.As<float>()) : null;
            return Reasons.NotFinite(_weight, "folded weight") ?? Reasons.NotFinite(_bias, "folded bias");
        }

        public override Node Rewrite() => _bias is null ? Merging.IntoWeighted(Mul, Conv, _weight) : Merging.IntoWeighted(Mul, Conv, _weight, _bias);
    }
}
