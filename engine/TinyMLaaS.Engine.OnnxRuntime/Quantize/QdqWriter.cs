using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>Writes a plan into the graph: QuantizeLinear and DequantizeLinear around tensors, integers behind DequantizeLinear for weights and biases.</summary>
internal sealed class QdqWriter(Graph graph, QuantizationPlan plan, IReadOnlyDictionary<Value, QuantizationParameters> parameters, WeightGrid weights,
    IReadOnlyDictionary<string, float[]> biasShifts)
{
    private readonly Dictionary<float, Value> _scales = [];
    private Value? _lowest;
    private readonly Dictionary<(ElementType, int, long), Value> _zeros = [];
    private readonly List<QuantizedLayer> _layers = [];
    private readonly Dictionary<string, (Value Now, QuantizationParameters Grid)> _rounded = new(StringComparer.Ordinal);

    /// <summary>The operators whose weights became integers, in the graph's order.</summary>
    public IReadOnlyList<QuantizedLayer> Layers => _layers;

    /// <summary>For each tensor that was rounded, by its name before: what stands for it now, and its grid.</summary>
    public IReadOnlyDictionary<string, (Value Now, QuantizationParameters Grid)> Rounded => _rounded;

    /// <summary>Rewrites the graph. Call once.</summary>
    public void Write()
    {
        foreach (var node in plan.Nodes.Where(QuantizationPlan.HasWeights))
            QuantizeWeights(node);
        foreach (var tensor in plan.Tensors)
        {
            if (parameters.TryGetValue(tensor, out var grid) && QuantizationPlan.Given(tensor) is null)
                Insert(tensor, grid);
        }
        foreach (var (producer, activation) in plan.Absorbed)
        {
            if (parameters.TryGetValue(activation.Output, out var grid) && Implies(grid, activation))
            {
                // What the activation would cut lies outside what the rounding keeps.
                graph.Replace(activation.Output, producer.Output);
                graph.Remove(activation);
            }
        }
        foreach (var node in graph.Nodes.Where(n => QuantizationPlan.HasWeights(n) && n.Input(1) is { IsConstant: true }).ToArray())
            KeepFloat(node);
        graph.RemoveUnused();
    }

    /// <summary>
    /// ONNX Runtime (at least to 1.31) rounds the float weights of an operator that stands between a DequantizeLinear and a QuantizeLinear, with one scale for all channels, which can lose
    /// nearly all of a depthwise Conv. A Max that changes nothing, between it and the QuantizeLinear, is no pattern of its own and keeps it from that.
    /// </summary>
    private void KeepFloat(Node node)
    {
        if (node.Input(0)?.Producer is not { } producer || !producer.Is("DequantizeLinear"))
            return;
        var output = node.Output;
        if (output.Uses is [{ Node: var activation }] && (activation.Is("Relu") || activation.Is("Clip")))
            output = activation.Output;
        Use[] uses = [.. output.Uses.Where(u => u.Node.Is("QuantizeLinear") && u.Index == 0)];
        if (uses.Length == 0)
            return;
        var same = graph.AddNode("Max", [output, _lowest ??= graph.AddConstant("lowest", Tensor.Scalar(float.MinValue))], $"{output.Name}_float", uses[0].Node);
        foreach (var use in uses)
            use.Node.SetInput(0, same);
    }

    /// <summary>
    /// Whether saturation does what a Relu or Clip does: nothing outside its range can be told from its ends, but for less than half a step, which rounding moves values by anyway.
    /// </summary>
    private static bool Implies(QuantizationParameters grid, Node activation) =>
        QuantizationPlan.Bounds(activation) is { } bounds && grid.Minimum >= bounds.Minimum - (bounds.Minimum == 0 ? 0 : grid.Scale / 2d) && grid.Maximum <= bounds.Maximum + (grid.Scale / 2d);

    private void QuantizeWeights(Node node)
    {
        if (!parameters.TryGetValue(node.Input(0)!, out var input))
            return;
        var tensor = node.Input(1)!.Constant!;
        var alpha = node.Is("Gemm") ? node.Float("alpha", 1) : 1;
        var beta = node.Is("Gemm") ? node.Float("beta", 1) : 1;
        var weight = weights.Of(node, tensor, alpha);
        _layers.Add(new QuantizedLayer(node, weight, input, (plan.Absorbed.TryGetValue(node, out var activation) ? activation : node).Output.Name));
        if (node.Input(2) is { } bias)
        {
            var channels = QuantizationPlan.OutputChannels(node);
            float[] values = node.Is("Gemm") ? QuantizationPlan.RowOf(bias.Constant!, channels)! : bias.Constant!.As<float>().ToArray();
            var shifts = biasShifts.GetValueOrDefault(QuantizationDraft.Key(node)!);
            var integers = weight.QuantizeBias([.. values.Select((b, i) => (b * beta) + (shifts?[i] ?? 0))], input.Scale);
            var grid = weight.Scales.Select(s => s * input.Scale).ToArray();
            node.SetInput(2, Dequantize(Tensor.From<int>([values.Length], integers), grid, 0, bias.Name, node));
        }
        node.SetInput(1, Dequantize(weights.Bits == 4 ? Packed(tensor.Shape.AsSpan(), weight.Integers) : Tensor.From(tensor.Shape.AsSpan(), weight.Integers), [.. weight.Scales], weight.Axis ?? 0, node.Input(1)!.Name, node));
        node.Set("alpha", null);
        node.Set("beta", null);
    }

    private Value Dequantize(Tensor integers, float[] scales, int axis, string name, Node before)
    {
        var content = graph.AddConstant($"{name}_q", integers);
        Value scale, zero;
        if (scales.Length == 1)
        {
            scale = Scale(scales[0]);
            zero = Zero(integers.Type, 0, 0);
        }
        else
        {
            scale = graph.AddConstant($"{name}_s", Tensor.Vector<float>(scales));
            zero = Zero(integers.Type, 0, scales.Length);
        }
        var output = graph.AddNode("DequantizeLinear", [content, scale, zero], $"{name}_dq", before);
        if (scales.Length > 1 && axis != 1)
            output.Producer!.Set("axis", new AttributeValue.Int(axis));
        return output;
    }

    private void Insert(Value tensor, QuantizationParameters grid)
    {
        var name = tensor.Name;
        var before = tensor.Producer is { } producer ? producer.Next : graph.First;
        var scale = Scale(grid.Scale);
        var zero = Zero(grid.Type, grid.ZeroPoint, 0);
        var (quantized, output) = Rounding.Add(graph, tensor, grid, scale, zero, before);
        _rounded.Add(name, (output, grid));
        if (plan.IsMadeByInteger(tensor))
        {
            graph.Replace(tensor, output);
            quantized.SetInput(0, tensor);
            return;
        }
        foreach (var use in tensor.Uses.ToArray())
        {
            if (plan.IsInteger(use.Node) && QuantizationPlan.ActivationInputs(use.Node).Contains(use.Index))
                use.Node.SetInput(use.Index, output);
        }
    }

    /// <summary>Two integers a byte, the first in the low half.</summary>
    private static Tensor Packed(ReadOnlySpan<long> shape, ReadOnlySpan<sbyte> integers)
    {
        var bytes = new byte[ElementType.Int4.ByteLength(integers.Length)];
        for (var i = 0; i < integers.Length; i++)
            bytes[i / 2] |= (byte)((integers[i] & 0xF) << (i % 2 * 4));
        return Tensor.FromBytes(ElementType.Int4, shape, bytes);
    }

    private Value Scale(float scale)
    {
        if (!_scales.TryGetValue(scale, out var value))
            _scales.Add(scale, value = graph.AddConstant("scale", Tensor.Scalar(scale)));
        return value;
    }

    /// <summary>A zero point, or a vector of them when <paramref name="length"/> is not 0.</summary>
    private Value Zero(ElementType type, int zero, long length)
    {
        if (_zeros.TryGetValue((type, zero, length), out var value))
            return value;
        long[] shape = length == 0 ? [] : [length];
        var count = (int)Tensor.CountOf(shape);
        var content = type switch
        {
            ElementType.UInt8 => Tensor.From<byte>(shape, [.. Enumerable.Repeat((byte)zero, count)]),
            ElementType.Int4 => Tensor.FromBytes(ElementType.Int4, shape, new byte[ElementType.Int4.ByteLength(count)]),
            ElementType.Int8 => Tensor.From<sbyte>(shape, [.. Enumerable.Repeat((sbyte)zero, count)]),
            _ => Tensor.From<int>(shape, [.. Enumerable.Repeat(zero, count)]),
        };
        value = graph.AddConstant("zero", content);
        _zeros.Add((type, zero, length), value);
        return value;
    }
}
