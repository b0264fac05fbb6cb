using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// Which operators of a network compute with integers and which tensors are integers between them. Decided from the structure alone, before any data is seen.
/// <para>Operators with constant weights (Conv, Gemm, MatMul) are integer. Other operators are only where all they read is integer already and what they make leads to
/// weights again: rounding what comes before the first and after the last of the weights would cost precision and save nothing.</para>
/// </summary>
internal sealed class QuantizationPlan
{
    private readonly Dictionary<Value, Value> _parents = [];
    private readonly HashSet<Node> _integer = [];
    private readonly Dictionary<Node, string> _leftFloat = [];
    private readonly Dictionary<Node, Node> _absorbed = [];
    private readonly List<Node> _alreadyInteger = [];
    private readonly HashSet<Node> _roundedMatMuls = [];

    private QuantizationPlan()
    {
    }

    /// <summary>Operators to quantize, in the graph's order.</summary>
    public IReadOnlyList<Node> Nodes { get; private set; } = [];

    /// <summary>Operators with weights that stay float, and others that do by choice, and why.</summary>
    public IReadOnlyDictionary<Node, string> LeftFloat => _leftFloat;

    /// <summary>Operators with weights that came quantized.</summary>
    public IReadOnlyList<Node> AlreadyInteger => _alreadyInteger;

    /// <summary>For an operator: the Relu or Clip right behind it that the rounding of its output replaces.</summary>
    public IReadOnlyDictionary<Node, Node> Absorbed => _absorbed;

    /// <summary>Tensors that become integers, in the graph's order.</summary>
    public IReadOnlyList<Value> Tensors { get; private set; } = [];

    /// <summary>Operators that have a kernel for integers and no weights; the value says that output and input share their parameters.</summary>
    private static readonly Dictionary<string, bool> Weightless = new(StringComparer.Ordinal)
    {
        ["Add"] = false,
        ["Mul"] = false,
        ["AveragePool"] = false,
        ["GlobalAveragePool"] = false,
        ["Sigmoid"] = false,
        ["LeakyRelu"] = false,
        ["Relu"] = false,
        ["Clip"] = false,
        ["Concat"] = true,
        ["MaxPool"] = true,
        ["Reshape"] = true,
        ["Flatten"] = true,
        ["Transpose"] = true,
        ["Squeeze"] = true,
        ["Unsqueeze"] = true,
        ["Slice"] = true,
        ["Split"] = true,
        ["Gather"] = true,
    };

    /// <param name="facts">What the network's structure says, which does not depend on choices.</param>
    /// <param name="excluded">Nodes that stay float.</param>
    /// <param name="reason">Why an excluded node does; null: since the caller says so.</param>
    public static QuantizationPlan Of(QuantizationFacts facts, ISet<Node> excluded, Func<Node, string?> reason)
    {
        var plan = new QuantizationPlan();
        var types = facts.Types;
        Node[] nodes = [.. facts.Model.Graph.Nodes];
        foreach (var node in nodes)
        {
            if (!HasWeights(node))
                continue;
            if (IsDequantized(node.Input(1)))
                plan._alreadyInteger.Add(node);
            else if (excluded.Contains(node))
                plan._leftFloat.Add(node, reason(node) ?? "excluded by option");
            else if (facts.WhyNot(node) is { } obstacle)
                plan._leftFloat.Add(node, obstacle);
            else
                plan._integer.Add(node);
        }
        foreach (var node in excluded.Where(n => !HasWeights(n)))
        {
            if (reason(node) is { } given)
                plan._leftFloat.Add(node, given);
        }
        foreach (var recurrent in nodes.Concat(nodes.SelectMany(n => n.Subgraphs).SelectMany(AllNodes)).Where(n => n.Is("LSTM") || n.Is("GRU") || n.Is("RNN")))
            plan._leftFloat.TryAdd(recurrent, "ONNX Runtime has no kernel for it that takes integers with fixed scales");
        foreach (var nested in nodes.SelectMany(n => n.Subgraphs).SelectMany(AllNodes).Where(HasWeights))
            plan._leftFloat.Add(nested, "it stands in a nested graph, whose tensors calibration cannot see");
        plan._roundedMatMuls.UnionWith(plan._integer.Where(n => n.Is("MatMul") && IsMergedIntoGemm(n, types)));
        plan.SpreadToWeightless(nodes, excluded, types);
        plan.Absorb(nodes);
        plan.Nodes = [.. nodes.Where(plan._integer.Contains)];
        plan.CollectTensors(facts.Model.Graph);
        return plan;
    }

    /// <summary>True for a tensor whose producer rounds it, so that every reader gets the rounded one.</summary>
    public bool IsMadeByInteger(Value tensor) => tensor.Producer is { } producer && IntegerOutput(producer);

    public bool IsInteger(Node node) => _integer.Contains(node);

    /// <summary>True when an operator takes what it reads here as integers.</summary>
    public bool ReadsAsInteger(Use use) => _integer.Contains(use.Node) && ActivationInputs(use.Node).Contains(use.Index);

    /// <summary>The tensor that stands for all with which this one must share its parameters.</summary>
    public Value Representative(Value tensor)
    {
        while (_parents.TryGetValue(tensor, out var parent))
            tensor = parent;
        return tensor;
    }

    /// <summary>True when the values of a tensor are those of tensors before it in its group, so that its range adds nothing.</summary>
    public bool IsPassedThrough(Value tensor) => tensor.Producer is { } producer && _integer.Contains(producer) && !HasWeights(producer) && Weightless[producer.OpType];

    /// <summary>Inputs of an operator that carry activations.</summary>
    public static IEnumerable<int> ActivationInputs(Node node) => node.OpType switch
    {
        "Add" or "Mul" => Enumerable.Range(0, 2).Where(i => !node.Input(i)!.IsConstant),
        "Concat" => Enumerable.Range(0, node.Inputs.Count),
        _ => [0],
    };

    /// <summary>Parameters of a tensor that is rounded already: made by DequantizeLinear, or read by QuantizeLinear alone.</summary>
    public static QuantizationParameters? Given(Value tensor)
    {
        if (IsDequantized(tensor))
            return Parameters(tensor.Producer!);
        if (tensor.IsOutput || tensor.Uses.Count == 0 || !tensor.Uses.All(u => u.Node.Is("QuantizeLinear") && u.Index == 0))
            return null;
        var all = tensor.Uses.Select(u => Parameters(u.Node)).Distinct().ToArray();
        return all.Length == 1 ? all[0] : null;
    }

    public static bool HasWeights(Node node) => node.Is("Conv") || node.Is("Gemm") || node.Is("MatMul") || node.Is("ConvTranspose");

    private static bool IsDequantized(Value? value) => value?.Producer is { } producer && producer.Is("DequantizeLinear");

    private static QuantizationParameters? Parameters(Node node)
    {
        if (node.Input(1) is not { IsConstant: true, Constant: { Type: ElementType.Float, Count: 1 } scale } || node.Input(2) is not { IsConstant: true, Constant: { Count: 1 } zero })
            return null;
        return zero.Type switch
        {
            ElementType.UInt8 => new QuantizationParameters(scale.As<float>()[0], zero.As<byte>()[0], ElementType.UInt8),
            ElementType.Int8 => new QuantizationParameters(scale.As<float>()[0], zero.As<sbyte>()[0], ElementType.Int8),
            _ => null,
        };
    }

    private static IEnumerable<Node> AllNodes(Graph graph) => graph.Nodes.SelectMany(n => n.Subgraphs.SelectMany(AllNodes).Prepend(n));

    internal static string? WhyNot(Node node, ShapeInference types)
    {
        if (node.Is("ConvTranspose"))
            return "ONNX Runtime has no integer kernel for ConvTranspose";
        if (node.Input(0) is not { } activation || node.Input(1) is not { } weight)
            return "an input is missing";
        if (activation.IsConstant)
            return "its first operand is the constant one";
        if (!weight.IsConstant)
            return weight.IsInput ? "its weight is an input of the network" : "both operands are activations";
        if (weight.Constant!.Type != ElementType.Float || types[activation].Element is not (ElementType.Float or ElementType.Undefined))
            return $"it computes with {weight.Constant.Type}, and only 32-bit floats are quantized";
        foreach (var value in weight.Constant.As<float>())
        {
            if (!float.IsFinite(value))
                return $"its weight '{weight.Name}' holds a value that is not finite";
        }
        if (node.Is("MatMul"))
            return weight.Constant.Shape.Length == 2 ? null : $"its weight '{weight.Name}' has {weight.Constant.Shape.Length} axes, and integer kernels take 2";
        if (node.Input(2) is { } bias)
        {
            if (!bias.IsConstant)
                return $"its bias '{bias.Name}' is computed";
            if (node.Is("Gemm") && RowOf(bias.Constant!, OutputChannels(node)) is null)
                return $"its bias '{bias.Name}' of shape [{string.Join(',', bias.Constant!.Shape)}] differs from row to row";
        }
        return node.Is("Gemm") && node.Int("transA", 0) != 0 ? "its first operand is transposed" : null;
    }

    /// <summary>Output channels of a Conv, Gemm or MatMul with a constant weight.</summary>
    public static long OutputChannels(Node node) => node.Input(1)!.Constant!.Shape[ChannelAxis(node)];

    /// <summary>The axis of a weight that counts output channels.</summary>
    public static int ChannelAxis(Node node) => node.Is("Conv") || (node.Is("Gemm") && node.Int("transB", 0) != 0) ? 0 : 1;

    /// <summary>A Gemm's bias as one number for each column; null when it has none such.</summary>
    public static float[]? RowOf(Tensor bias, long columns)
    {
        if (bias.Type != ElementType.Float || (bias.Count != 1 && (bias.Count != columns || bias.Shape[^1] != columns)))
            return null;
        var values = bias.As<float>().ToArray();
        return values.Length == columns ? values : [.. Enumerable.Repeat(values[0], (int)columns)];
    }

    private void SpreadToWeightless(Node[] nodes, ISet<Node> excluded, ShapeInference types)
    {
        HashSet<Node> candidates = [.. nodes.Where(n => n.Domain.Length == 0 && Weightless.ContainsKey(n.OpType) && !excluded.Contains(n) && CanBeInteger(n, types))];
        for (var before = -1; before != candidates.Count;)
        {
            before = candidates.Count;
            var made = new HashSet<Value>();
            foreach (var node in nodes)
            {
                // What a ConvTranspose or an excluded operator makes is float; what came quantized is as good as made here.
                if (_integer.Contains(node) || candidates.Contains(node) || node.Is("DequantizeLinear"))
                {
                    if (candidates.Contains(node) && !ActivationInputs(node).All(i => made.Contains(node.Input(i)!)))
                        candidates.Remove(node);
                    else
                        made.UnionWith(node.Outputs.OfType<Value>());
                }
            }
            foreach (var node in Enumerable.Reverse(nodes))
            {
                if (candidates.Contains(node) && !node.Outputs.OfType<Value>().Any(o => o.Uses.Any(u => IsIntegerUse(u, candidates))))
                    candidates.Remove(node);
            }
        }
        _integer.UnionWith(candidates);
    }

    private bool IsIntegerUse(Use use, HashSet<Node> candidates) =>
        (_integer.Contains(use.Node) || candidates.Contains(use.Node) || use.Node.Is("QuantizeLinear")) && ActivationInputs(use.Node).Contains(use.Index);

    private static bool CanBeInteger(Node node, ShapeInference types)
    {
        if (node.Inputs.Count == 0 || types.Output(node).Element is not (ElementType.Float or ElementType.Undefined))
            return false;
        return node.OpType switch
        {
            // A constant with one element lies on a grid of its own exactly; others would be rounded.
            "Add" or "Mul" => Enumerable.Range(0, 2).All(i => node.Input(i) is { } input && (!input.IsConstant || input.Constant is { Type: ElementType.Float, Count: 1 }))
                && ActivationInputs(node).Any(),
            "Concat" => node.Inputs.All(i => i is { IsConstant: false }),
            "Clip" => Bounds(node) is not null,
            _ => node.Input(0) is { IsConstant: false },
        };
    }

    /// <summary>The range that a Relu or Clip keeps; null when it is no constant one.</summary>
    public static (float Minimum, float Maximum)? Bounds(Node node)
    {
        if (node.Is("Relu"))
            return (0, float.PositiveInfinity);
        if (!node.Is("Clip"))
            return null;
        float? Bound(int index, float otherwise) => node.Input(index) is not { } bound ? otherwise : bound.IsConstant && bound.Constant is { Type: ElementType.Float, Count: 1 } c ? c.As<float>()[0] : null;
        return Bound(1, float.NegativeInfinity) is { } minimum && Bound(2, float.PositiveInfinity) is { } maximum && minimum <= 0 && maximum > 0 ? (minimum, maximum) : null;
    }

    private void Absorb(Node[] nodes)
    {
        foreach (var node in nodes)
        {
            if (!_integer.Contains(node) || node.Outputs is not [{ IsOutput: false, Uses: [{ } use] } output] || Bounds(use.Node) is null || use.Index != 0)
                continue;
            // A Relu that is the last of all, right behind a Conv: its output is rounded in any case.
            if (!HasWeights(node) ? Weightless[node.OpType] || !_integer.Contains(use.Node) : !_integer.Contains(use.Node) && !node.Is("Conv"))
                continue;
            if (Given(output) is null && Given(use.Node.Output) is null)
            {
                _absorbed.Add(node, use.Node);
                _integer.Add(use.Node);
            }
        }
    }

    /// <summary>Whether what an operator makes is rounded.</summary>
    private bool IntegerOutput(Node node)
    {
        if (!_integer.Contains(node) || _absorbed.ContainsKey(node))
            return false;
        if ((!node.Is("Gemm") && !node.Is("MatMul")) || _roundedMatMuls.Contains(node))
            return true;
        // Kernels of Gemm and MatMul can give floats, so rounding their output is only worth it where integers go on.
        return node.Output.Uses.Any(u => _integer.Contains(u.Node) && !_absorbed.ContainsValue(u.Node) && ActivationInputs(u.Node).Contains(u.Index));
    }

    /// <summary>
    /// Whether ONNX Runtime would merge a MatMul and the constant added to it into a Gemm, which it then computes with floats since that bias is no integer. It does where it finds two axes;
    /// a rounded output in between keeps it from that.
    /// </summary>
    private static bool IsMergedIntoGemm(Node node, ShapeInference types) =>
        types[node.Input(0)!].Rank is null or 2 && node.Output.Uses.Any(u => u.Node.Is("Add") && u.Node.Inputs.Any(i => i is { IsConstant: true }));

    private void CollectTensors(Graph graph)
    {
        var tensors = new List<Value>();
        var seen = new HashSet<Value>();
        foreach (var node in graph.Nodes.Where(_integer.Contains))
        {
            if (!_absorbed.ContainsValue(node))
            {
                foreach (var index in ActivationInputs(node))
                {
                    if (seen.Add(node.Input(index)!))
                        tensors.Add(node.Input(index)!);
                }
            }
            if (IntegerOutput(node))
            {
                foreach (var output in node.Outputs.OfType<Value>())
                {
                    if (seen.Add(output))
                        tensors.Add(output);
                }
            }
        }
        Tensors = tensors;
        foreach (var node in graph.Nodes.Where(n => _integer.Contains(n) && !HasWeights(n) && Weightless[n.OpType]))
        {
            var first = node.Input(0)!;
            foreach (var other in ActivationInputs(node).Select(i => node.Input(i)!).Concat(node.Outputs.OfType<Value>()))
            {
                var (a, b) = (Representative(first), Representative(other));
                if (!ReferenceEquals(a, b))
                    _parents[b] = a;
            }
        }
    }
}
