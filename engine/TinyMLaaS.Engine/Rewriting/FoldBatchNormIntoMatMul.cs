using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// BatchNormalization(A * B), A and B matrices, channels along the columns n, becomes Gemm(A, B', C):
//   s = gamma / sqrt(variance + epsilon),  B'[k,n] = B[k,n] * s[n],  C[n] = shift[n] - mean[n] * s[n]
// With A of another rank the channels would run along another axis than the columns.

/// <summary>Folds a BatchNormalization into the MatMul before it.</summary>
internal sealed class FoldBatchNormIntoMatMul : Rule
{
    public override string Name => "fold-batch-norm-into-matmul";

    public override Candidate? Match(Node node, ShapeInference types) =>
        node.Is("BatchNormalization") && node.Input(0)?.Producer is { } product && product.Graph == node.Graph && product.Is("MatMul")
            ? new Found(node, product, types.Input(product, 0).Rank)
            : null;

    private sealed record Found(Node Bn, Node Product, int? Rank) : Candidate(Bn, Product)
    {
        private float[] _weight = [];
        private float[] _bias = [];

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Product, 2) ?? Reasons.ReadElsewhere(Product, Bn) ?? Reasons.NoFloatConstant(Product.Input(1), "weight") ?? Reasons.Shared(Product.Input(1)!, Product, "weight")) is { } blocked)
                return blocked;
            if (Rank != 2)
                return new Blocked(Rank is null ? $"the rank of '{Product.Input(0)?.Name}' is not known" : $"'{Product.Input(0)!.Name}' has rank {Rank}, and a Gemm takes matrices");
            var weight = Product.Input(1)!.Constant!;
            if (weight.Shape.Length != 2)
                return new Blocked($"its weight '{Product.Input(1)!.Name}' is no matrix");
            var columns = (int)weight.Shape[1];
            var (affine, reason) = ChannelAffine.Of(Bn, columns);
            if (affine is null)
                return reason;
            _weight = affine.Weight(weight.As<float>(), i => i % columns);
            _bias = affine.Bias([]);
            return Reasons.NotFinite(_weight, "folded weight") ?? Reasons.NotFinite(_bias, "folded bias");
        }

        public override Node Rewrite()
        {
            var weight = Product.Input(1)!;
            weight.Graph.SetContent(weight, Tensor.From<float>(weight.Constant!.Shape.AsSpan(), _weight));
            var bias = Bn.Graph!.AddConstant($"{(Product.Name.Length > 0 ? Product.Name : Product.Output.Name)}_bias", Tensor.Vector<float>(_bias));
            return Merging.Into(Bn, Product, "Gemm", [Product.Input(0), weight, bias]);
        }
    }
}
