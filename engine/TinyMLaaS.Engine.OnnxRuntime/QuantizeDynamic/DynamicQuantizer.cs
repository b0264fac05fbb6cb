using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;

namespace TinyMLaaS.Engine.OnnxRuntime.QuantizeDynamic;

/// <summary>
/// Writes <c>y = x W + b</c> as <c>y = (q(x) Q) (s(x) s(W)) + b</c>, where <c>q</c> rounds x to uint8 on a grid of its own for each run and Q is W on a fixed int8 grid. ONNX Runtime makes one
/// operator of that (DynamicQuantizeMatMul, or MatMulIntegerToFloat where several products read x).
/// </summary>
internal sealed class DynamicQuantizer(WeightGrid grid, ShapeInference types, IReadOnlySet<Node> excluded, CancellationToken cancellation)
{
    // Multiply-accumulates in a microsecond of one row, and what a product costs besides; fitted to three dense networks from 1 thousand to 264 thousand multiply-accumulates on one thread of an x86
    // processor with VNNI. For one row reading the weights takes longer than multiplying, and integers are a quarter of the bytes.
    private const double FloatRate = 16_000;
    private const double IntegerRate = 80_000;
    private const double FloatMicroseconds = 1.2;
    private const double IntegerMicroseconds = 2.3;

    private readonly List<(string Node, string Operator, double Sqnr)> _quantized = [];
    private readonly List<(Node Node, string Reason)> _leftFloat = [];
    private readonly Dictionary<(Value, bool, float), (Value Integers, Value Scales, double Sqnr)> _weights = [];
    private readonly Dictionary<(Graph, Value), (Value Integers, Value Scale, Value Zero)> _activations = [];
    private double _before;
    private double _after;

    /// <summary>Products that became integer, in order.</summary>
    public IReadOnlyList<(string Node, string Operator, double Sqnr)> Quantized => _quantized;

    /// <summary>Operators with weights that stay float, and why.</summary>
    public IReadOnlyList<(Node Node, string Reason)> LeftFloat => _leftFloat;

    /// <summary>Products whose weights came as integers.</summary>
    public int AlreadyInteger { get; private set; }

    /// <summary>How long the products take as a share of what they took in floats, estimated from their sizes; a first extent that is not known counts as 1.</summary>
    public double TimeRatio => _before == 0 ? 1 : _after / _before;

    /// <summary>Rewrites a graph and what is nested in it, and drops the float weights that nobody reads any more.</summary>
    public void Write(Graph graph)
    {
        Walk(graph);
        Clean(graph);
    }

    private void Walk(Graph graph)
    {
        foreach (var node in graph.Nodes.ToArray())
        {
            cancellation.ThrowIfCancellationRequested();
            foreach (var nested in node.Subgraphs)
                Walk(nested);
            if (QuantizeDynamic.WhyFloat(node) is { } reason)
                _leftFloat.Add((node, reason));
            else if (!node.Is("MatMul") && !node.Is("Gemm"))
                AlreadyInteger += node.OpType is "MatMulInteger" or "QLinearMatMul" or "QGemm" or "DynamicQuantizeMatMul" or "MatMulIntegerToFloat" or "QLinearConv" ? 1 : 0;
            else if (node.Input(1)?.Producer is { } producer && producer.Is("DequantizeLinear"))
                AlreadyInteger++;
            else if (WhyNot(node) is { } obstacle)
                _leftFloat.Add((node, obstacle));
            else
                Rewrite(graph, node);
        }
    }

    private string? WhyNot(Node node)
    {
        if (excluded.Contains(node))
            return "excluded by option";
        if (node.Input(0) is not { } activation || node.Input(1) is not { } weight)
            return "an input is missing";
        if (activation.IsConstant)
            return "its first operand is the constant one";
        if (!weight.IsConstant)
            return weight.IsInput ? "its weight is an input of the network" : "both operands are activations";
        if (weight.Constant!.Type != ElementType.Float || types[activation].Element is not (ElementType.Float or ElementType.Undefined))
            return $"it computes with {weight.Constant.Type}, and only 32-bit floats are quantized";
        if (weight.Constant.Shape.Length != 2)
            return $"its weight '{weight.Name}' has {weight.Constant.Shape.Length} axes, and integer kernels take 2";
        if (weight.Constant.Count == 0)
            return $"its weight '{weight.Name}' is empty";
        foreach (var value in weight.Constant.As<float>())
        {
            if (!float.IsFinite(value))
                return $"its weight '{weight.Name}' holds a value that is not finite";
        }
        return null;
    }

    private void Rewrite(Graph graph, Node node)
    {
        var isGemm = node.Is("Gemm");
        var (weight, weightScales, sqnr) = Weight(node.Input(1)!, isGemm && node.Int("transB", 0) != 0, isGemm ? node.Float("alpha", 1) : 1);
        var activation = node.Input(0)!;
        if (isGemm && node.Int("transA", 0) != 0)
        {
            activation = graph.AddNode("Transpose", [activation], $"{activation.Name}_t", node);
            activation.Producer!.Set("perm", new AttributeValue.Ints([1, 0]));
        }
        var (integers, scale, zero) = Activation(graph, activation, node);
        var sums = graph.AddNode("MatMulInteger", [integers, weight, zero], $"{node.Output.Name}_i", node);
        var cast = graph.AddNode("Cast", [sums], $"{node.Output.Name}_f", node);
        cast.Producer!.Set("to", new AttributeValue.Int((long)ElementType.Float));
        var scales = graph.AddNode("Mul", [scale, weightScales], $"{node.Output.Name}_s", node);
        _quantized.Add((node.Label, node.OpType, sqnr));
        Estimate(node, weight.Constant!);
        if (isGemm && node.Input(2) is { } bias)
        {
            var product = graph.AddNode("Mul", [cast, scales], $"{node.Output.Name}_p", node);
            if (node.Float("beta", 1) is var beta && beta != 1)
                bias = bias.IsConstant ? graph.AddConstant($"{bias.Name}_b", Times(bias.Constant!, beta)) : graph.AddNode("Mul", [bias, graph.AddConstant("beta", Tensor.Scalar(beta))], $"{bias.Name}_b", node);
            graph.Substitute(node, "Add", [product, bias]);
            return;
        }
        graph.Substitute(node, "Mul", [cast, scales]);
    }

    private (Value Integers, Value Scales, double Sqnr) Weight(Value value, bool isTransposed, float alpha)
    {
        if (_weights.TryGetValue((value, isTransposed, alpha), out var known))
            return known;
        var tensor = value.Constant!;
        var (rows, columns) = isTransposed ? ((int)tensor.Shape[1], (int)tensor.Shape[0]) : ((int)tensor.Shape[0], (int)tensor.Shape[1]);
        var from = tensor.As<float>();
        var values = new float[rows * columns];
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < columns; column++)
                values[(row * columns) + column] = alpha * (isTransposed ? from[(column * rows) + row] : from[(row * columns) + column]);
        }
        var quantized = grid.Of(values, [rows, columns], 1);
        // In the graph of the float weight, so that all who read it, from nested graphs too, read one.
        var integers = value.Graph.AddConstant($"{value.Name}_q", Tensor.From([rows, columns], quantized.Integers));
        var scales = value.Graph.AddConstant($"{value.Name}_s", quantized.Scales.Count == 1 ? Tensor.Scalar(quantized.Scales[0]) : Tensor.Vector<float>([.. quantized.Scales]));
        return _weights[(value, isTransposed, alpha)] = (integers, scales, quantized.SignalToNoise);
    }

    /// <summary>The activation as integers, once for all products of a graph that read it.</summary>
    private (Value Integers, Value Scale, Value Zero) Activation(Graph graph, Value activation, Node before)
    {
        if (_activations.TryGetValue((graph, activation), out var known))
            return known;
        var node = graph.AddNode("DynamicQuantizeLinear", [activation], [graph.FreeName($"{activation.Name}_q"), graph.FreeName($"{activation.Name}_qs"), graph.FreeName($"{activation.Name}_qz")], before: before);
        return _activations[(graph, activation)] = (node.Outputs[0]!, node.Outputs[1]!, node.Outputs[2]!);
    }

    private void Estimate(Node node, Tensor weight)
    {
        var rows = types.Output(node).Shape is { Length: > 1 } shape ? shape[..^1].Select(d => (double)(d.Value ?? 1)).Aggregate(1d, (a, b) => a * b) : 1;
        // The kernels work on some rows at a time: what a row costs falls to a quarter of what it costs alone.
        var work = weight.Count * (1 + ((rows - 1) / 4));
        _before += (work / FloatRate) + FloatMicroseconds;
        _after += (work / IntegerRate) + IntegerMicroseconds;
    }

    private static Tensor Times(Tensor tensor, float factor) => Tensor.From<float>(tensor.Shape.AsSpan(), [.. tensor.As<float>().ToArray().Select(v => v * factor)]);

    private static void Clean(Graph graph)
    {
        foreach (var nested in graph.Nodes.SelectMany(n => n.Subgraphs))
            Clean(nested);
        graph.RemoveUnused();
    }
}
