using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>Multiply-accumulates of the operators of a network on its first feed, so that symbolic dimensions have the extents that they have in use. Nested graphs are not counted.</summary>
internal sealed class NodeWork
{
    private NodeWork(IReadOnlyDictionary<string, Work> nodes)
    {
        Nodes = nodes;
        Total = nodes.Values.Sum(n => n.Macs);
    }

    /// <summary>Operators with products, by first output.</summary>
    public IReadOnlyDictionary<string, Work> Nodes { get; }

    /// <summary>Multiply-accumulates in all.</summary>
    public long Total { get; }

    /// <param name="model">The float network.</param>
    /// <param name="dataset">The data whose first feed it is run on.</param>
    /// <param name="cancellation">Ends the run.</param>
    public static NodeWork Measure(byte[] model, Dataset dataset, CancellationToken cancellation)
    {
        var copy = OnnxFile.Read(model);
        Node[] nodes = [.. copy.Graph.Nodes.Where(n => QuantizationPlan.HasWeights(n) && n.Outputs is [{ }, ..])];
        string[] names = [.. nodes.SelectMany(n => new[] { n.Output, n.Input(0) }).OfType<Value>().Where(v => v.Producer is not null).Select(v => v.Name).Distinct()];
        foreach (var name in names.Where(n => !copy.Graph.Find(n)!.IsOutput))
            copy.Graph.AddOutput(copy.Graph.Find(name)!);
        using var session = RuntimeSession.Open(OnnxFile.ToBytes(copy), GraphOptimizationLevel.ORT_DISABLE_ALL, cancellation: cancellation);
        var feed = session.Bind(dataset).Samples().First().Feeds.First();
        var shapes = session.Inputs.Select((input, i) => (input.Name, Shape: feed[i].Shape.ToArray())).ToDictionary(i => i.Name, i => i.Shape, StringComparer.Ordinal);
        if (names.Length > 0)
            session.Run(feed, names, (index, _, shape, _) => shapes[names[index]] = shape.ToArray());
        var result = new Dictionary<string, Work>(StringComparer.Ordinal);
        foreach (var node in nodes)
            result.TryAdd(node.Output.Name, new Work(Macs(node, shapes), node.Input(1)?.Constant is { } weight ? weight.Bytes.Length : 0, node.Is("Conv") && node.Int("group", 1) > 1));
        return new NodeWork(result);
    }

    private static long Macs(Node node, Dictionary<string, long[]> shapes)
    {
        var output = Tensor.CountOf(shapes[node.Output.Name]);
        if (node.Input(1)?.Constant is { } weight && !node.Is("MatMul"))
        {
            if (node.Is("ConvTranspose"))
                return node.Input(0) is { } input && shapes.TryGetValue(input.Name, out var extents) ? Tensor.CountOf(extents) * (weight.Count / weight.Shape[0]) : 0;
            return output * (weight.Count / weight.Shape[node.Is("Gemm") && node.Int("transB", 0) == 0 ? 1 : 0]);
        }
        // Of a product of matrices the depth is the last extent of the first, or the last but one of the second.
        return node.Input(0) is { } left && shapes.TryGetValue(left.Name, out var a) && a.Length > 0 ? output * a[^1]
            : node.Input(1)?.Constant is { Shape: { Length: > 1 } b } ? output * b[^2] : 0;
    }

    /// <summary>Multiply-accumulates of an operator, bytes of its constant weight, and whether its channels are convolved in groups.</summary>
    internal readonly record struct Work(long Macs, long Weights, bool IsGrouped);
}
