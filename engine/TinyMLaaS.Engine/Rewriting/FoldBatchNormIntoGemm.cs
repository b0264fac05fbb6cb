using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// BatchNormalization(alpha * A * B + beta * C), channels along the columns n:
//   s = gamma / sqrt(variance + epsilon),  B'[k,n] = B[k,n] * s[n],  C'[n] = (beta * C[n] - mean[n]) * s[n] + shift[n],  beta' = 1
// With transB, B is [n,k]. alpha stays, since it stands before B. C broadcasts to a vector along the columns, or is absent.

/// <summary>Folds a BatchNormalization into the Gemm before it.</summary>
internal sealed class FoldBatchNormIntoGemm : Rule
{
    public override string Name => "fold-batch-norm-into-gemm";

    public override Candidate? Match(Node node, ShapeInference types) =>
        node.Is("BatchNormalization") && node.Input(0)?.Producer is { } gemm && gemm.Graph == node.Graph && gemm.Is("Gemm") ? new Found(node, gemm) : null;

    private sealed record Found(Node Bn, Node Gemm) : Candidate(Bn, Gemm)
    {
        private float[] _weight = [];
        private float[] _bias = [];

        public override Blocked? Check()
        {
            if ((Reasons.ReadElsewhere(Gemm, Bn) ?? Reasons.NoFloatConstant(Gemm.Input(1), "weight") ?? Reasons.Shared(Gemm.Input(1)!, Gemm, "weight")) is { } blocked)
                return blocked;
            if (GemmBias.Columns(Gemm) is not { } columns)
                return new Blocked($"its weight '{Gemm.Input(1)!.Name}' is no matrix");
            var (bias, wrong) = GemmBias.Of(Gemm, columns);
            if (bias is null)
                return wrong;
            var (affine, reason) = ChannelAffine.Of(Bn, columns);
            if (affine is null)
                return reason;
            var weight = Gemm.Input(1)!.Constant!;
            var perRow = (int)weight.Shape[1];
            var isTransposed = Gemm.Int("transB", 0) != 0;
            _weight = affine.Weight(weight.As<float>(), isTransposed ? i => i / perRow : i => i % perRow);
            _bias = affine.Bias(bias);
            return Reasons.NotFinite(_weight, "folded weight") ?? Reasons.NotFinite(_bias, "folded bias");
        }

        public override Node Rewrite()
        {
            var merged = Merging.IntoWeighted(Bn, Gemm, _weight, _bias);
            merged.Set("beta", null);
            return merged;
        }
    }
}
