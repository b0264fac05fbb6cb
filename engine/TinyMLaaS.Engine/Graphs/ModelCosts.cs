namespace TinyMLaaS.Engine.Graphs;

/// <summary>What a network costs, apart from its bytes. A network and its quantized form have the same figures.</summary>
public sealed record ModelCosts
{
    /// <summary>
    /// Trained numbers: elements of constants that operators compute with, weights, biases and normalization vectors alike, each tensor once however
    /// often it is read. Not among them: shapes, axes and indices, scales and zero points of quantization, bounds of Clip, factors of Resize, values of Pad.
    /// </summary>
    public required long Parameters { get; init; }

    /// <summary>
    /// Multiply-accumulates of one inference in Conv, ConvTranspose, Gemm and MatMul and their integer forms; a symbolic first extent (the batch) counts as 1,
    /// of the branches of an If the dearest counts. Null when a shape that it takes is not known, or recurrent or looping operators hold such work.
    /// </summary>
    public required long? Macs { get; init; }

    /// <summary>Counts a model's costs. The model is not changed.</summary>
    public static ModelCosts Of(Model model)
    {
        var types = ShapeInference.Of(model);
        try
        {
            return new ModelCosts { Parameters = ParametersOf(model.Graph), Macs = MacsOf(model.Graph, types) };
        }
        catch (OverflowException)
        {
            return new ModelCosts { Parameters = ParametersOf(model.Graph), Macs = null };
        }
    }

    private static long ParametersOf(Graph graph)
    {
        var sum = graph.Initializers.Where(i => i.Uses.Any(u => IsTrained(u, i.Constant!.Type))).Sum(i => i.Constant!.Count);
        foreach (var node in graph.Nodes)
        {
            sum += node.Subgraphs.Sum(ParametersOf);
            if (node.Is("Constant") && node.TensorAttribute("value") is { } tensor && node.Outputs is [{ } made, ..] && made.Uses.Any(u => IsTrained(u, tensor.Type)))
                sum += tensor.Count;
        }
        return sum;
    }

    /// <summary>Whether an operator computes with the constant, rather than being told by it what to do.</summary>
    private static bool IsTrained(Use use, ElementType type)
    {
        var (node, index) = use;
        var isFloat = type is ElementType.Float or ElementType.Float16 or ElementType.BFloat16 or ElementType.Double;
        return node.OpType switch
        {
            "DequantizeLinear" or "QuantizeLinear" => index == 0,
            "QLinearConv" => index is 3 or 8,
            "QLinearMatMul" or "QLinearAdd" or "QLinearMul" => index is 0 or 3,
            "QGemm" => index is 0 or 3 or 6,
            "ConvInteger" or "MatMulInteger" => index is 0 or 1,
            "Clip" or "Resize" or "Upsample" or "Dropout" or "Pad" or "NonMaxSuppression" or "Range" or "OneHot" => isFloat && index == 0,
            _ => isFloat,
        };
    }

    private static long? MacsOf(Graph graph, ShapeInference types)
    {
        long? sum = 0;
        foreach (var node in graph.Nodes)
        {
            sum = checked(sum + MacsOf(node, types));
            var nested = node.Subgraphs.Select(g => MacsOf(g, types)).ToList();
            if (nested.Count > 0)
                sum += nested.Contains(null) || (!node.Is("If") && nested.Any(m => m > 0)) ? null : nested.Max();
        }
        return sum;
    }

    private static long? MacsOf(Node node, ShapeInference types) => checked(node.OpType switch
    {
        "Conv" or "ConvInteger" => Product(types.Output(node)) * PerOutput(types.Input(node, 1)),
        "QLinearConv" => Product(types.Output(node)) * PerOutput(types.Input(node, 3)),
        "ConvTranspose" => Product(types.Input(node, 0)) * PerOutput(types.Input(node, 1)),
        "Gemm" when types.Input(node, 1).Shape is { Length: 2 } b => Product(types.Output(node)) * b[node.Int("transB", 0) != 0 ? 1 : 0].Value,
        "QGemm" when types.Input(node, 3).Shape is { Length: 2 } b && types.Input(node, 0).Shape is { Length: 2 } a =>
            Extent(a, node.Int("transA", 0) != 0 ? 1 : 0) * b[0].Value * b[1].Value,
        "MatMul" or "MatMulInteger" or "QLinearMatMul" => MatMul(node, types),
        "Gemm" or "QGemm" or "LSTM" or "GRU" or "RNN" => null,
        _ => 0,
    });

    private static long? MatMul(Node node, ShapeInference types)
    {
        var a = types.Input(node, 0).Shape;
        var b = types.Input(node, node.OpType == "QLinearMatMul" ? 3 : 1).Shape;
        var depth = a is { Length: > 0 } left && left[^1].Value is { } k ? k
            : b is { Length: > 0 } right ? right[right.Length == 1 ? 0 : ^2].Value : null;
        return checked(Product(types.Output(node)) * depth);
    }

    /// <summary>Multiply-accumulates per element: the weights behind one of them.</summary>
    private static long? PerOutput(TensorType weight) => weight.Shape is { Length: >= 2 } shape ? Product(weight with { Shape = shape[1..] }) : null;

    private static long? Product(TensorType type)
    {
        if (type.Shape is not { } shape)
            return null;
        long? product = 1;
        for (var i = 0; i < shape.Length; i++)
            product = checked(product * Extent(shape, i));
        return product;
    }

    private static long? Extent(System.Collections.Immutable.ImmutableArray<Dimension> shape, int axis) =>
        shape[axis].Value ?? (axis == 0 && shape[0].Symbol is not null ? 1 : null);
}
