using System.Collections.Frozen;
using System.Collections.Immutable;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Onnx;

/// <summary>
/// Brings a model of opset 13 to 20 to opset 21, the first with 4-bit integers, without changing what it computes. Operators whose meaning moved in between are rewritten, or the model is refused:
/// the version history in ONNX's operator changelog says which.
/// </summary>
internal static class OpsetRaise
{
    /// <summary>The opset afterwards at least.</summary>
    public const long Target = 21;

    // Same inputs, attributes and meaning in opset 21 as in every version since 13: at most types were added, optional inputs, or attributes whose default is the old meaning.
    private static readonly FrozenSet<string> Unchanged = FrozenSet.Create(
        StringComparer.Ordinal,
        "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool", "BatchNormalization", "BitShift", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Compress",
        "Concat", "Constant", "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "DequantizeLinear", "Det", "Div", "Dropout",
        "DynamicQuantizeLinear", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gemm", "GlobalAveragePool",
        "GlobalMaxPool", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "If", "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LSTM", "LayerNormalization",
        "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "Loop", "LpNormalization", "MatMul", "MatMulInteger", "Max", "MaxPool", "Mean", "MeanVarianceNormalization", "Min", "Mish", "Mod",
        "Mul", "Neg", "NonMaxSuppression", "NonZero", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RNN", "Range", "Reciprocal", "ReduceSum",
        "Relu", "Reshape", "ReverseSequence", "Round", "Scan", "ScatterElements", "ScatterND", "Selu", "Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice",
        "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Sqrt", "Squeeze", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unique", "Unsqueeze",
        "Where", "Xor");

    // Their axes became an input in opset 18.
    private static readonly FrozenSet<string> Reductions =
        FrozenSet.Create(StringComparer.Ordinal, "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare");

    /// <summary>Raises in place; a model of that opset or a later one only gets a file format that knows 4-bit integers.</summary>
    /// <exception cref="TransformRejectedException"><c>unsupported-opset-upgrade</c>: the message names every node that has no certain equivalent; the model is then half changed and of no more use.</exception>
    public static void Apply(Model model)
    {
        if (model.Opset < Target)
        {
            var problems = new List<string>();
            if (model.HasFunctions)
                problems.Add("it brings functions of its own, which are not rewritten");
            Walk(model.Graph, model.Opset, problems);
            if (problems.Count > 0)
            {
                throw new TransformRejectedException("unsupported-opset-upgrade",
                    $"Weights of 4 bits need opset {Target}. Cannot bring the model there from opset {model.Opset}: {string.Join("; ", problems.Take(20))}. Export it again with opset {Target} or later, or use weights of 8 bits.");
            }
            model.Opsets[""] = Target;
        }
        model.IrVersion = Math.Max(model.IrVersion, OnnxVersions.IrOf(Target));
    }

    private static void Walk(Graph graph, long from, List<string> problems)
    {
        foreach (var node in graph.Nodes.ToArray())
        {
            foreach (var nested in node.Subgraphs)
                Walk(nested, from, problems);
            if (node.Domain.Length == 0 && !Unchanged.Contains(node.OpType) && Raise(graph, node, from) is { } reason)
                problems.Add($"node '{node.Label}' ({node.OpType}): {reason}");
        }
    }

    private static string? Raise(Graph graph, Node node, long from)
    {
        if (node.Is("Split"))
        {
            // Equal parts are asked for by their number since opset 18.
            if (from < 18 && node.Input(1) is null)
                node.Set("num_outputs", new AttributeValue.Int(node.Outputs.Count));
            return null;
        }
        if (node.Is("Resize"))
        {
            // Opset 19 gave new names to what the old ones did not say; these are the same in all versions since 13.
            return node.Attributes.GetValueOrDefault("coordinate_transformation_mode") is null or AttributeValue.Text { Value: "half_pixel" or "asymmetric" or "align_corners" or "pytorch_half_pixel" }
                ? null : "its way to transform coordinates has changed";
        }
        if (!Reductions.Contains(node.OpType))
            return "no equivalent is known";
        if (from < 18 && node.Attributes.GetValueOrDefault("axes") is AttributeValue.Ints axes)
        {
            var attributes = node.Attributes.Where(a => a.Key != "axes").ToImmutableArray();
            var raised = graph.Substitute(node, node.OpType, [node.Input(0), graph.AddConstant("axes", Tensor.Vector<long>([.. axes.Values]))]);
            foreach (var (name, value) in attributes)
                raised.Set(name, value);
        }
        return null;
    }
}
