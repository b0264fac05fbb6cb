using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Benchmarks.Engine;

/// <summary>
/// What ours is held against: static quantization as ONNX Runtime's own tool does it when asked for uint8 activations, int8 weights per channel and ranges from the smallest to the largest value seen.
/// Every operator that the tool knows is quantized, in the order of the graph, and all that it reads and makes is rounded, outputs of the network too; each input of a Concat has a scale of its own;
/// nothing is measured, corrected or left float. It starts from the fused network, which can only help it.
/// </summary>
internal sealed class MinMaxBaseline
{
    private static readonly HashSet<string> Weighted = ["Conv", "ConvTranspose", "Gemm", "MatMul"];

    // All that they read and make is rounded, each on a grid of its own.
    private static readonly HashSet<string> Own = ["Add", "Mul", "Sigmoid", "LeakyRelu", "GlobalAveragePool", "Concat", "Softmax", "Where"];

    // Where what they read is rounded, what they make is on the same grid.
    private static readonly HashSet<string> Sharing = ["Reshape", "Transpose", "Squeeze", "Unsqueeze", "MaxPool", "AveragePool", "Slice", "Split", "Gather", "Pad", "Resize"];

    private readonly Graph _graph;
    private readonly Dictionary<string, TensorRange> _ranges;
    private readonly List<Value> _tensors = [];
    private readonly Dictionary<Value, Value> _sharedWith = [];

    private MinMaxBaseline(Graph graph, Dictionary<string, TensorRange> ranges)
    {
        _graph = graph;
        _ranges = ranges;
    }

    /// <summary>Quantizes a fused network.</summary>
    /// <param name="fused">An ONNX file's bytes, opset 13 or later.</param>
    /// <param name="dataset">Samples that show the ranges.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static byte[] Quantize(byte[] fused, Dataset dataset, CancellationToken cancellation)
    {
        var model = OnnxFile.Read(fused);
        var baseline = new MinMaxBaseline(model.Graph, Observe(fused, dataset, cancellation));
        foreach (var node in model.Graph.Nodes.Where(n => n.Domain.Length == 0).ToArray())
            baseline.Mark(node);
        foreach (var node in model.Graph.Nodes.Where(n => n.Domain.Length == 0 && Weighted.Contains(n.OpType)).ToArray())
            baseline.RoundWeights(node);
        foreach (var tensor in baseline._tensors)
            baseline.Insert(tensor, baseline.Grid(tensor));
        model.Graph.RemoveUnused();
        return OnnxFile.ToBytes(model);
    }

    private static Dictionary<string, TensorRange> Observe(byte[] fused, Dataset dataset, CancellationToken cancellation)
    {
        var copy = OnnxFile.Read(fused);
        foreach (var value in copy.Graph.Nodes.SelectMany(n => n.Outputs).OfType<Value>().Where(v => !v.IsOutput).ToArray())
            copy.Graph.AddOutput(value);
        using var session = RuntimeSession.Open(OnnxFile.ToBytes(copy), Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_DISABLE_ALL, cancellation: cancellation);
        var ranges = new Dictionary<string, TensorRange>(StringComparer.Ordinal);
        foreach (var feed in session.Bind(dataset).Samples().SelectMany(s => s.Feeds))
        {
            var outputs = session.Run(feed);
            foreach (var (name, tensor) in session.Inputs.Select(i => i.Name).Zip(feed).Concat(session.OutputNames.Zip(outputs)).Where(t => t.Second.Type == ElementType.Float))
            {
                var range = ranges.GetValueOrDefault(name);
                foreach (var value in tensor.As<float>())
                    range = new TensorRange(Math.Min(range.Minimum, value), Math.Max(range.Maximum, value));
                ranges[name] = range;
            }
        }
        return ranges;
    }

    private void Mark(Node node)
    {
        if (Weighted.Contains(node.OpType))
        {
            // A MatMul of two activations is quantized like any other.
            Round(node.Inputs.Take(2).Append(node.Output));
        }
        else if (Own.Contains(node.OpType))
        {
            Round([.. node.Inputs, node.Output]);
        }
        else if (node.OpType is "Relu" or "Clip" && IsRounded(node.Input(0)))
        {
            // Saturation does its work where nothing else reads what it cuts: the tensor before it takes over its range.
            if (node.Input(0) is { Uses.Count: 1, IsOutput: false, Producer: not null } before && _graph.WhyNotReplace(node.Output, before) is null)
            {
                var name = node.Output.Name;
                _graph.Replace(node.Output, before);
                _graph.Remove(node);
                _ranges[before.Name] = _ranges[name];
            }
            else
            {
                Round([node.Output]);
            }
        }
        else if (Sharing.Contains(node.OpType) && IsRounded(node.Input(0)))
        {
            foreach (var output in node.Outputs.OfType<Value>().Where(o => _ranges.ContainsKey(o.Name)))
            {
                Round([output]);
                _sharedWith.TryAdd(output, node.Input(0)!);
            }
        }
    }

    private bool IsRounded(Value? value) => value is not null && _tensors.Contains(value);

    private void Round(IEnumerable<Value?> values)
    {
        foreach (var value in values.OfType<Value>())
        {
            var isWeight = value.IsConstant && value.Uses.All(u => Weighted.Contains(u.Node.OpType) && u.Index == 1);
            if (!isWeight && !_tensors.Contains(value) && (value.Constant is { Type: ElementType.Float } || _ranges.ContainsKey(value.Name)))
                _tensors.Add(value);
        }
    }

    private QuantizationParameters Grid(Value tensor)
    {
        while (_sharedWith.TryGetValue(tensor, out var before))
            tensor = before;
        if (tensor.Producer is { } softmax && softmax.Is("Softmax"))
            return QuantizationParameters.Asymmetric(0, 1);
        var range = tensor.Constant is { } constant ? new TensorRange(Math.Min(0, constant.As<float>().ToArray().Min()), Math.Max(0, constant.As<float>().ToArray().Max())) : _ranges[tensor.Name];
        return QuantizationParameters.Asymmetric(range.Minimum, range.Maximum);
    }

    private void RoundWeights(Node node)
    {
        if (node.Input(1) is not { IsConstant: true, Constant: { Type: ElementType.Float } content } value)
            return;
        int? axis = node.OpType switch
        {
            "Conv" => 0,
            "ConvTranspose" => node.Int("group", 1) == 1 ? 1 : null,
            "Gemm" => node.Int("transB", 0) != 0 ? 0 : 1,
            _ => content.Shape.Length == 2 ? 1 : null,
        };
        var weight = QuantizedWeight.Of(content.As<float>(), content.Shape.AsSpan(), axis);
        var bias = node.Input(2);
        if (bias is { IsConstant: true } && bias.Constant!.Count == (axis is { } a ? content.Shape[a] : -1) && IsRounded(node.Input(0)) && node.Float("alpha", 1) == 1 && node.Float("beta", 1) == 1)
        {
            var scale = Grid(node.Input(0)!).Scale;
            var integers = weight.QuantizeBias(bias.Constant.As<float>(), scale);
            node.SetInput(2, Dequantize(bias.Name, Tensor.Vector<int>(integers), Tensor.Vector<float>([.. weight.Scales.Select(s => s * scale)]), Tensor.Vector<int>(new int[integers.Length]), 0, node));
        }
        var scales = axis is null ? Tensor.Scalar(weight.Scales[0]) : Tensor.Vector<float>([.. weight.Scales]);
        var zeros = axis is null ? Tensor.Scalar((sbyte)0) : Tensor.Vector<sbyte>(new sbyte[weight.Scales.Count]);
        node.SetInput(1, Dequantize(value.Name, Tensor.From(content.Shape.AsSpan(), weight.Integers), scales, zeros, axis, node));
    }

    // Names are those that the tool gives, since they are part of a file's bytes.
    private Value Dequantize(string name, Tensor integers, Tensor scales, Tensor zeros, int? axis, Node before)
    {
        Value[] inputs = [_graph.AddConstant($"{name}_quantized", integers), _graph.AddConstant($"{name}_scale", scales), _graph.AddConstant($"{name}_zero_point", zeros)];
        var output = Named(_graph.AddNode("DequantizeLinear", inputs, $"{name}_DequantizeLinear_Output", before));
        if (axis is { } a)
            output.Producer!.Set("axis", new AttributeValue.Int(a));
        return output;
    }

    /// <summary>Every reader reads the rounded tensor, and so does the caller where it is an output of the network.</summary>
    private void Insert(Value tensor, QuantizationParameters grid)
    {
        var before = tensor.Producer is { } producer ? producer.Next : _graph.First;
        var name = tensor.Name;
        if (tensor.Constant is { } constant)
        {
            byte[] integers = [.. constant.As<float>().ToArray().Select(v => (byte)grid.Quantize(v))];
            _graph.Replace(tensor, Dequantize(name, Tensor.From<byte>(constant.Shape.AsSpan(), integers), Tensor.Scalar(grid.Scale), Tensor.Scalar((byte)grid.ZeroPoint), null, before!));
            return;
        }
        var scale = _graph.AddConstant($"{name}_scale", Tensor.Scalar(grid.Scale));
        var zero = _graph.AddConstant($"{name}_zero_point", Tensor.Scalar((byte)grid.ZeroPoint));
        var quantized = Named(_graph.AddNode("QuantizeLinear", [tensor, scale, zero], $"{name}_QuantizeLinear_Output", before));
        var output = Named(_graph.AddNode("DequantizeLinear", [quantized, scale, zero], $"{name}_DequantizeLinear_Output", before));
        _graph.Replace(tensor, output);
        quantized.Producer!.SetInput(0, tensor);
    }

    private static Value Named(Value output)
    {
        output.Producer!.Name = output.Name.Replace("_Output", "", StringComparison.Ordinal);
        return output;
    }

    /// <summary>Smallest and largest value, 0 among them.</summary>
    private readonly record struct TensorRange(float Minimum, float Maximum);
}
