using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// BatchNormalization(Conv(x, W, b)), any group, also depthwise:
//   s = gamma / sqrt(variance + epsilon),  W'[m,...] = W[m,...] * s[m],  b' = (b - mean) * s + beta

/// <summary>Folds a BatchNormalization into the Conv or ConvTranspose before it.</summary>
internal sealed class FoldBatchNormIntoConv : Rule
{
    public override string Name => "fold-batch-norm-into-conv";

    public override Candidate? Match(Node node, ShapeInference types) =>
        node.Is("BatchNormalization") && node.Input(0)?.Producer is { } conv && conv.Graph == node.Graph && (conv.Is("Conv") || conv.Is("ConvTranspose"))
            ? new Found(node, conv)
            : null;

    private sealed record Found(Node Bn, Node Conv) : Candidate(Bn, Conv)
    {
        private float[] _weight = [];
        private float[] _bias = [];

        public override Blocked? Check()
        {
            if (Reasons.ReadElsewhere(Conv, Bn) is { } blocked)
                return blocked;
            var (layout, wrong) = ConvLayout.Of(Conv);
            if (layout is null)
                return wrong;
            var (affine, reason) = ChannelAffine.Of(Bn, layout.Channels);
            if (affine is null)
                return reason;
            _weight = affine.Weight(Conv.Input(1)!.Constant!.As<float>(), layout.ChannelOf);
            _bias = affine.Bias(Conv.Input(2) is { } old ? old.Constant!.As<float>() : []);
            return Reasons.NotFinite(_weight, "folded weight") ?? Reasons.NotFinite(_bias, "folded bias");
        }

        public override Node Rewrite() => Merging.IntoWeighted(Bn, Conv, _weight, _bias);
    }
}
