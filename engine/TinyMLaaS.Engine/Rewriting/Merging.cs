using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

/// <summary>How a node takes over the work of the one after it: it moves there, so that the result keeps its name and readers.</summary>
internal static class Merging
{
    /// <summary>Merges <paramref name="root"/> into the Conv, ConvTranspose or Gemm before it, which gets another weight (unless null) and another bias.</summary>
    public static Node IntoWeighted(Node root, Node weighted, float[]? weight, float[] bias)
    {
        var graph = root.Graph!;
        var w = weighted.Input(1)!;
        if (weight is not null)
            w.Graph.SetContent(w, Tensor.From<float>(w.Constant!.Shape.AsSpan(), weight));
        return Into(root, weighted, weighted.OpType, [weighted.Input(0), w, Bias(graph, weighted, bias)]);
    }

    /// <summary>The same for a node without a bias, which stays without.</summary>
    public static Node IntoWeighted(Node root, Node weighted, float[] weight)
    {
        var w = weighted.Input(1)!;
        w.Graph.SetContent(w, Tensor.From<float>(w.Constant!.Shape.AsSpan(), weight));
        return Into(root, weighted, weighted.OpType, [weighted.Input(0), w]);
    }

    /// <summary>Merges <paramref name="root"/> and the node before it into one of this operator. Attributes of <paramref name="first"/> are kept if the operator is.</summary>
    public static Node Into(Node root, Node first, string opType, IReadOnlyList<Value?> inputs)
    {
        var graph = root.Graph!;
        var merged = graph.Substitute(root, opType, inputs);
        if (first.OpType == opType)
        {
            foreach (var (name, value) in first.Attributes)
                merged.Set(name, value);
        }
        merged.Name = first.Name;
        merged.Doc = first.Doc;
        merged.Unmodelled = first.Unmodelled;
        merged.Provenance = first.Provenance;
        graph.Remove(first);
        return merged;
    }

    /// <summary>Removes the node that made a value which nobody reads any more, and then those that made what only it read.</summary>
    public static void RemoveUnread(Value value)
    {
        var open = new Stack<Value>([value]);
        while (open.TryPop(out var spent))
        {
            if (spent.Producer is not { Graph: { } graph } node || node.Outputs.Any(o => o is { IsOutput: true } or { Uses.Count: > 0 }))
                continue;
            var read = node.Inputs.OfType<Value>().ToList();
            graph.Remove(node);
            read.ForEach(open.Push);
        }
    }

    /// <summary>The value that holds a node's new bias: its old one where nobody else reads that.</summary>
    public static Value Bias(Graph graph, Node weighted, float[] bias)
    {
        var content = Tensor.Vector<float>(bias);
        if (weighted.Input(2) is not { IsConstant: true, IsOutput: false, Uses.Count: 1 } old)
            return graph.AddConstant($"{(weighted.Name.Length > 0 ? weighted.Name : weighted.Output.Name)}_bias", content);
        old.Graph.SetContent(old, content);
        return old;
    }
}
