using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// A * B + c, A and B matrices, c one number a column, is Gemm(A, B, c); A * B - c is Gemm(A, B, -c). Gemm is what integer kernels take a bias with; for other ranks there is no such operator.

/// <summary>Turns a MatMul by a constant matrix and the Add or Sub of a constant vector into a Gemm.</summary>
internal sealed class MatMulAddIntoGemm : Rule
{
    public override string Name => "matmul-add-into-gemm";

    public override Candidate? Match(Node node, ShapeInference types) =>
        Summands.Of(node, n => n.Is("MatMul")) is var (product, constant, sign) ? new Found(node, product, constant, sign, types.Input(product, 0).Rank) : null;

    private sealed record Found(Node Add, Node Product, Value Constant, int Sign, int? Rank) : Candidate(Add, Product)
    {
        private float[] _bias = [];

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Add, 2) ?? Reasons.Unexpected(Product, 2) ?? Reasons.ReadElsewhere(Product, Add) ?? Reasons.NoFloatConstant(Constant, "summand") ?? Reasons.NoFloatConstant(Product.Input(1), "weight")) is { } blocked)
                return blocked;
            if (Rank != 2)
                return new Blocked(Rank is null ? $"the rank of '{Product.Input(0)?.Name}' is not known" : $"'{Product.Input(0)!.Name}' has rank {Rank}, and a Gemm takes matrices");
            var weight = Product.Input(1)!.Constant!;
            if (weight.Shape.Length != 2)
                return new Blocked($"its weight '{Product.Input(1)!.Name}' is no matrix");
            var (bias, reason) = GemmBias.AlongAxis(Constant, 2, 1, weight.Shape[1], "summand");
            _bias = Sign < 0 ? [.. (bias ?? []).Select(b => -b)] : bias ?? [];
            return reason;
        }

        public override Node Rewrite()
        {
            // The vector itself where it is one, so that a shared one stays shared.
            var bias = Sign > 0 && Constant.Constant!.Shape.Length == 1 && Constant.Constant.Count == _bias.Length
                ? Constant
                : Add.Graph!.AddConstant($"{(Product.Name.Length > 0 ? Product.Name : Product.Output.Name)}_bias", Tensor.Vector<float>(_bias));
            return Merging.Into(Add, Product, "Gemm", [Product.Input(0), Product.Input(1), bias]);
        }
    }
}
