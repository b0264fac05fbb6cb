using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Conv(x, W, b) * s, where s is one number a channel (or one for all), any group, also depthwise and ConvTranspose:
//   W'[m,...] = W[m,...] * s[m],  b' = b * s
// A normalization that an exporter split into Mul and Add ends here and in the bias.

/// <summary>Folds the Mul by a constant into the Conv or ConvTranspose before it.</summary>
internal sealed class FoldMulIntoConv : Rule
{
    public override string Name => "fold-mul-into-conv";

    public override Candidate? Match(Node node, ShapeInference types)
    {
        if (!node.Is("Mul") || node.Inputs.Count != 2)
            return null;
        for (var i = 0; i < 2; i++)
        {
            if (node.Input(i)?.Producer is { } conv && conv.Graph == node.Graph && (conv.Is("Conv") || conv.Is("ConvTranspose")) && node.Input(1 - i) is { Constant: not null } factor)
                return new Found(node, conv, factor);
        }
        return null;
    }

    private sealed record Found(Node Mul, Node Conv, Value Factor) : Candidate(Mul, Conv)
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
            var affine = new ChannelAffine(Array.ConvertAll(factor, f => (double)f), new double[factor.Length]);
            _weight = affine.Weight(weight.As<float>(), layout.ChannelOf);
            _bias = Conv.Input(2) is { } bias ? affine.Bias(bias.Constant!.As<float>()) : null;
            return Reasons.NotFinite(_weight, "folded weight") ?? Reasons.NotFinite(_bias, "folded bias");
        }

        public override Node Rewrite()
        {
            if (_bias is not null)
                return Merging.IntoWeighted(Mul, Conv, _weight, _bias);
            var weight = Conv.Input(1)!;
            weight.Graph.SetContent(weight, Tensor.From<float>(weight.Constant!.Shape.AsSpan(), _weight));
            return Merging.Into(Mul, Conv, Conv.OpType, [Conv.Input(0), weight]);
        }
    }
}
