using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// BatchNormalization(Conv(x, W, b)), any group, also depthwise:
//   s = gamma / sqrt(variance + epsilon),  W'[m,...] = W[m,...] * s[m],  b' = (b - mean) * s + beta
// ConvTranspose has W as [C, M/group, ...]: row c and column j work for channel m = (c / (C/group)) * (M/group) + j.

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
            var isTransposed = Conv.OpType == "ConvTranspose";
            if ((Reasons.Unexpected(Conv, 3, "auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides")
                ?? Reasons.ReadElsewhere(Conv, Bn) ?? Reasons.NoFloatConstant(Conv.Input(1), "weight") ?? Reasons.Shared(Conv.Input(1)!, Conv, "weight")) is { } blocked)
                return blocked;
            var weight = Conv.Input(1)!.Constant!;
            var group = Conv.Int("group", 1);
            if (weight.Shape.Length < 3 || group < 1 || weight.Shape[0] % group != 0)
                return new Blocked($"its weight '{Conv.Input(1)!.Name}' has the shape [{string.Join(',', weight.Shape)}] for {group} groups");
            var channels = isTransposed ? checked(weight.Shape[1] * group) : weight.Shape[0];
            if (Conv.Input(2) is { } bias && (Reasons.NoFloatConstant(bias, "bias") ?? Reasons.NoVector(bias, channels, "bias")) is { } wrong)
                return wrong;
            var (affine, reason) = ChannelAffine.Of(Bn, channels);
            if (affine is null)
                return reason;
            var perRow = (int)(weight.Count / Math.Max(1, weight.Shape[0]));
            var perColumn = (int)Math.Max(1, isTransposed ? perRow / Math.Max(1, weight.Shape[1]) : 1);
            var rowsPerGroup = (int)(weight.Shape[0] / group);
            _weight = affine.Weight(weight.As<float>(), isTransposed
                ? i => (i / perRow / rowsPerGroup * (int)weight.Shape[1]) + (i % perRow / perColumn)
                : i => i / perRow);
            _bias = affine.Bias(Conv.Input(2) is { } old ? old.Constant!.As<float>() : []);
            return Reasons.NotFinite(_weight, "folded weight") ?? Reasons.NotFinite(_bias, "folded bias");
        }

        public override Node Rewrite() => Merging.IntoWeighted(Bn, Conv, _weight, _bias);
    }
}
