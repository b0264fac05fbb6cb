using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// (alpha * A * B + beta * C) * s, B a constant matrix, C and s one number a column n (or one for all):   B'[k,n] = B[k,n] * s[n],  C' = beta * C * s,  beta' = 1
// (A * B) * s with A of any rank, s along the columns:                                                   B'[k,n] = B[k,n] * s[n]
// Div by a constant c, none of it 0, is s = 1 / c. A normalization that an exporter split ends here and in the bias.

/// <summary>Folds the Mul or Div by a constant into the Gemm or MatMul before it.</summary>
internal sealed class FoldMulIntoProduct : Rule
{
    public override string Name => "fold-mul-into-product";

    public override Candidate? Match(Node node, ShapeInference types) =>
        Operands.Of(node, "Mul", "Div", n => (n.Is("Gemm") || n.Is("MatMul")) && n.Input(1)?.Constant is not null) is var (product, factor, isDivisor)
            ? new Found(node, product, factor, isDivisor, types.Output(product).Rank)
            : null;

    private sealed record Found(Node Mul, Node Product, Value Factor, bool IsDivisor, int? Rank) : Candidate(Mul, Product)
    {
        private float[] _weight = [];
        private float[]? _bias;

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Mul, 2) ?? Reasons.ReadElsewhere(Product, Mul) ?? Reasons.NoFloatConstant(Factor, "factor") ?? Reasons.NoFloatConstant(Product.Input(1), "weight")
                ?? Reasons.Shared(Product.Input(1)!, Product, "weight")) is { } blocked)
                return blocked;
            var isGemm = Product.OpType == "Gemm";
            if (!isGemm && Reasons.Unexpected(Product, 2) is { } odd)
                return odd;
            var weight = Product.Input(1)!.Constant!;
            if (weight.Shape.Length != 2)
                return new Blocked($"its weight '{Product.Input(1)!.Name}' is no matrix");
            var isTransposed = isGemm && Product.Int("transB", 0) != 0;
            var columns = weight.Shape[isTransposed ? 0 : 1];
            // A factor of more axes than the product would give the result more.
            var rank = isGemm ? 2 : Rank ?? 1;
            if (Factor.Constant!.Shape.Length > rank)
                return new Blocked($"its factor '{Factor.Name}' may have more axes than '{Product.Output.Name}'");
            var (factor, reason) = GemmBias.AlongAxis(Factor, rank, rank - 1, columns, "factor");
            if (factor is null)
                return reason;
            var affine = ChannelAffine.OfFactor(factor, IsDivisor);
            var perRow = (int)weight.Shape[1];
            _weight = affine.Weight(weight.As<float>(), isTransposed ? i => i / perRow : i => i % perRow);
            if (isGemm && Product.Input(2) is not null)
            {
                var (bias, wrong) = GemmBias.Of(Product, columns);
                if (bias is null)
                    return wrong;
                _bias = affine.Bias(bias);
            }
            return Reasons.NotFinite(_weight, "folded weight") ?? Reasons.NotFinite(_bias, "folded bias");
        }

        public override Node Rewrite()
        {
            if (_bias is null)
                return Merging.IntoWeighted(Mul, Product, _weight);
            var merged = Merging.IntoWeighted(Mul, Product, _weight, _bias);
            merged.Set("beta", null);
            return merged;
        }
    }
}
