using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Conv(x, W, b) + c, where c is one number a channel (or one for all):   b' = b + c
// alpha * A * B + beta * C + c, where C and c are one number a column:   C' = beta * C + c,  beta' = 1
// Sub of a constant is Add of its negative.

/// <summary>Turns a constant that is added to, or subtracted from, a Conv, ConvTranspose or Gemm into its bias.</summary>
internal sealed class AddIntoBias : Rule
{
    public override string Name => "add-into-bias";

    public override Candidate? Match(Node node, ShapeInference types) =>
        Summands.Of(node, n => n.Is("Conv") || n.Is("ConvTranspose") || n.Is("Gemm")) is var (weighted, constant, sign) ? new Found(node, weighted, constant, sign) : null;

    private sealed record Found(Node Add, Node Weighted, Value Constant, int Sign) : Candidate(Add, Weighted)
    {
        private float[] _bias = [];

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Add, 2) ?? Reasons.ReadElsewhere(Weighted, Add) ?? Reasons.NoFloatConstant(Constant, "summand") ?? Reasons.NoFloatConstant(Weighted.Input(1), "weight")) is { } blocked)
                return blocked;
            var weight = Weighted.Input(1)!.Constant!;
            var (old, wrong) = Weighted.OpType == "Gemm" ? OfGemm() : OfConv(weight);
            if (old is null)
                return wrong;
            var (summand, reason) = GemmBias.AlongAxis(Constant, weight.Shape.Length, 1, old.Length, "summand");
            if (summand is null)
                return reason;
            _bias = [.. old.Zip(summand, (a, b) => a + (Sign * b))];
            return Reasons.NotFinite(_bias, "bias");
        }

        public override Node Rewrite()
        {
            var merged = Merging.IntoWeighted(Add, Weighted, null, _bias);
            if (merged.OpType == "Gemm")
                merged.Set("beta", null);
            return merged;
        }

        private (float[]? Bias, Blocked? Blocked) OfGemm() =>
            GemmBias.Columns(Weighted) is { } columns ? GemmBias.Of(Weighted, columns) : (null, new Blocked($"its weight '{Weighted.Input(1)!.Name}' is no matrix"));

        private (float[]? Bias, Blocked? Blocked) OfConv(Tensor weight)
        {
            if (Reasons.Unexpected(Weighted, 3, "auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides") is { } unexpected)
                return (null, unexpected);
            if (weight.Shape.Length < 3)
                return (null, new Blocked($"its weight '{Weighted.Input(1)!.Name}' has rank {weight.Shape.Length}"));
            var channels = Weighted.OpType == "Conv" ? weight.Shape[0] : checked(weight.Shape[1] * Weighted.Int("group", 1));
            if (Weighted.Input(2) is not { } bias)
                return (new float[channels], null);
            return (Reasons.NoFloatConstant(bias, "bias") ?? Reasons.NoVector(bias, channels, "bias")) is { } blocked
                ? (null, blocked)
                : (bias.Constant!.As<float>().ToArray(), null);
        }
    }
}
