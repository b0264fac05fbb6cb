using TinyMLaaS.Engine.Rewriting;

namespace TinyMLaaS.Engine.Passes;

/// <summary>The passes of <c>compiler/fuse</c>, in order.</summary>
internal static class FusePasses
{
    /// <summary>The rules, in the order in which they are tried at a node.</summary>
    public static IReadOnlyList<Rule> Rules { get; } =
    [
        new EliminateIdentity(),
        new EliminateNoOp(),
        new UnflattenSoftmax(),
        new FixShapeOfReshape(),
        new ShuffleIntoGathers(),
        new TransposeIntoReshape(),
        new MergeReshapes(),
        new MergeTransposes(),
        new MergePadIntoConv(),
        new MergePadIntoAveragePool(),
        new FoldBatchNormIntoConv(),
        new FoldBatchNormIntoGemm(),
        new FoldBatchNormIntoMatMul(),
        new FoldMulIntoConv(),
        new FoldMulIntoProduct(),
        new AddIntoBias(),
        new MatMulAddIntoGemm(),
        new FoldAffineIntoNextConv(),
    ];

    /// <summary>All passes. Constants come first, since rules ask for constant weights; dead code last, since rules leave some.</summary>
    public static IReadOnlyList<Pass> All { get; } = [new UpgradeOpset(), new FoldConstants(), new ShareCommonNodes(), new FuseRounds(Rules), new RemoveDeadCode()];
}
