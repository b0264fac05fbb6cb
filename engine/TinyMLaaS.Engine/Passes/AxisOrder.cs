using System.Collections.Immutable;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Passes;

/// <summary>How a node works on data whose axes are in another order: what <see cref="MoveTransposes"/> changes in it.</summary>
/// <param name="Node">The node.</param>
/// <param name="NeedsOrder">True when its results are in the other order too; false when they are the same as before.</param>
/// <param name="Change">Changes the node, whose data inputs are in the other order by then.</param>
internal sealed record AxisOrder(Node Node, bool NeedsOrder, Action Change)
{
    private static readonly ImmutableHashSet<string> OfOne = ImmutableHashSet.Create(
        StringComparer.Ordinal,
        "Abs", "BitwiseNot", "Cast", "Ceil", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish",
        "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu");

    private static readonly ImmutableHashSet<string> OfSeveral = ImmutableHashSet.Create(
        StringComparer.Ordinal, "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "PRelu", "Sub", "Sum", "Where", "Xor");

    private static readonly ImmutableHashSet<string> AlongAxis = ImmutableHashSet.Create(StringComparer.Ordinal, "Concat", "Hardmax", "LogSoftmax", "Softmax", "Split");

    private static readonly ImmutableHashSet<string> Reductions = ImmutableHashSet.Create(
        StringComparer.Ordinal, "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare");

    /// <summary>True for operators that work in any order of axes, whatever their inputs and attributes are.</summary>
    public static bool MayMove(Node node) =>
        OfOne.Contains(node.OpType) || OfSeveral.Contains(node.OpType) || AlongAxis.Contains(node.OpType) || Reductions.Contains(node.OpType) || node.OpType is "Pad" or "Slice" or "Resize";

    /// <summary>The inputs that are in the order of the data; others are numbers about it.</summary>
    public static IEnumerable<int> DataInputs(Node node) =>
        OfSeveral.Contains(node.OpType) || node.OpType == "Concat" ? Enumerable.Range(0, node.Inputs.Count) : [0];

    /// <summary>What to change when the data inputs lose a Transpose of this order; null when the node cannot do without.</summary>
    public static AxisOrder? Plan(Node node, ImmutableArray<long> order, ShapeInference types)
    {
        if (node.Outputs.OfType<Value>().FirstOrDefault() is null)
            return null;
        try
        {
            if (OfOne.Contains(node.OpType))
                return new AxisOrder(node, true, () => { });
            if (OfSeveral.Contains(node.OpType))
                return Elementwise(node, order);
            if (AlongAxis.Contains(node.OpType))
                return OnAxis(node, order);
            if (Reductions.Contains(node.OpType))
                return Reduction(node, order, types);
            return node.OpType switch
            {
                "Pad" => Pad(node, order),
                "Slice" => Slice(node, order),
                "Resize" => Resize(node, order),
                _ => null,
            };
        }
        catch (ArgumentException)
        {
            // An axis that does not exist: the runtime will say so.
            return null;
        }
    }

    private static AxisOrder? Elementwise(Node node, ImmutableArray<long> order)
    {
        var constants = new List<(int Index, Tensor Content)>();
        for (var i = 0; i < node.Inputs.Count; i++)
        {
            if (node.Input(i) is not { Constant: { } content } value)
                continue;
            if (content.Shape.Length > order.Length)
                return null;
            if (content.Count == 1)
                continue;
            // A large constant that something else reads too would be in the file twice.
            if (content.Count != content.Shape.Max() && value.Uses.Count > 1)
                return null;
            if (content.Type == ElementType.String || content.Type.Bits() % 8 != 0)
                return null;
            var full = content.Reshape([.. Enumerable.Repeat(1L, order.Length - content.Shape.Length), .. content.Shape]);
            constants.Add((i, ConstantEvaluator.Transpose(full, [.. Enumerable.Range(0, order.Length).Select(axis => (long)order.IndexOf(axis))])));
        }
        return new AxisOrder(node, true, () =>
        {
            foreach (var (index, content) in constants)
                SetConstant(node, index, content);
        });
    }

    private static AxisOrder? OnAxis(Node node, ImmutableArray<long> order)
    {
        if (node.OpType == "Concat" && node.Inputs.Any(i => i is null or { Constant: not null }))
            return null;
        var axis = order[(int)OperatorShapes.Axis(node.Int("axis", node.OpType is "Concat" or "Split" ? 0 : -1), order.Length)];
        return new AxisOrder(node, true, () => node.Set("axis", new AttributeValue.Int(axis)));
    }

    private static AxisOrder? Reduction(Node node, ImmutableArray<long> order, ShapeInference types)
    {
        if (OperatorShapes.Axes(node, 1, order.Length) is not { Length: > 0 } axes || types.Input(node, 0).Rank is { } rank && rank != order.Length)
            return null;
        long[] moved = [.. axes.Select(a => order[(int)a]).Order()];
        var keeps = node.Int("keepdims", 1) != 0;
        var rest = order.Where((_, i) => !axes.Contains(i)).ToArray();
        if (!keeps && rest.Zip(rest.Skip(1)).Any(pair => pair.First > pair.Second))
            return null;
        return new AxisOrder(node, keeps, () =>
        {
            if (node.Ints("axes") is not null)
                node.Set("axes", new AttributeValue.Ints([.. moved]));
            else
                SetConstant(node, 1, Tensor.Vector<long>(moved));
        });
    }

    private static AxisOrder? Pad(Node node, ImmutableArray<long> order)
    {
        var rank = order.Length;
        if (node.Input(3) is not null || OperatorShapes.List(node, 1) is not { } pads || pads.Length != 2 * rank)
            return null;
        var moved = new long[pads.Length];
        for (var i = 0; i < rank; i++)
            (moved[order[i]], moved[order[i] + rank]) = (pads[i], pads[i + rank]);
        return new AxisOrder(node, true, () => SetConstant(node, 1, Tensor.Vector<long>(moved)));
    }

    private static AxisOrder? Slice(Node node, ImmutableArray<long> order)
    {
        if (OperatorShapes.List(node, 1) is not { } starts)
            return null;
        var axes = node.Input(3) is null ? [.. Enumerable.Range(0, starts.Length).Select(i => (long)i)] : OperatorShapes.List(node, 3);
        if (axes is null || axes.Length != starts.Length)
            return null;
        var isWide = node.Input(1)!.Constant!.Type == ElementType.Int64;
        long[] moved = [.. axes.Select(a => order[(int)OperatorShapes.Axis(a, order.Length)])];
        // A Slice without axes has no place to put them.
        return node.Inputs.Count < 4 ? null : new AxisOrder(node, true, () => SetConstant(node, 3, isWide ? Tensor.Vector<long>(moved) : Tensor.Vector<int>([.. moved.Select(a => (int)a)])));
    }

    private static AxisOrder? Resize(Node node, ImmutableArray<long> order)
    {
        if (node.Ints("axes") is not null || node.Input(1) is not null and not { Constant.Count: 0 } || node.Text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
            || node.Text("keep_aspect_ratio_policy", "stretch") != "stretch" || node.Text("mode", "nearest") is not ("nearest" or "linear"))
            return null;
        var isSized = node.Input(3) is not null;
        var index = isSized ? 3 : 2;
        // Runtimes interpolate the last axes only: those of an order with channels last come to be there.
        if (node.Input(index) is not { IsConstant: true, Constant: { } content } || content.Count != order.Length)
            return null;
        var isNearest = node.Text("mode", "nearest") == "nearest";
        if (!isNearest && !order.SequenceEqual([0, 2, 3, 1]))
            return null;
        var moved = new long[order.Length];
        for (var i = 0; i < moved.Length; i++)
            moved[order[i]] = i;
        var size = content.Type.Bits() / 8;
        var bytes = new byte[content.Bytes.Length];
        for (var i = 0; i < moved.Length; i++)
            content.Bytes.Span.Slice((int)moved[i] * size, size).CopyTo(bytes.AsSpan(i * size));
        return new AxisOrder(node, true, () => SetConstant(node, index, Tensor.FromBytes(content.Type, [moved.Length], bytes)));
    }

    private static void SetConstant(Node node, int index, Tensor content) =>
        node.SetInput(index, node.Graph!.AddConstant($"{node.Input(index)?.Name ?? node.Output.Name}_moved", content));
}
