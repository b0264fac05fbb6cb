namespace TinyMLaaS.Engine.Graphs;

/// <summary>
/// How much memory the values between operators take at most, when operators run in the file's order, nothing is computed in place and a value goes
/// once its last reader has run. Constants do not count. QuantizeLinear and DequantizeLinear are part of the operators around them, as in every runtime
/// with integer kernels: a value that is rounded takes the bytes of its integers and exists once.
/// </summary>
internal static class ActivationMemory
{
    /// <summary>The largest sum of live bytes; a symbolic first extent (the batch) counts as 1. Null when a size is not known.</summary>
    public static long? PeakBytes(Model model, ShapeInference types)
    {
        try
        {
            return Peak(model.Graph, types);
        }
        catch (OverflowException)
        {
            return null;
        }
    }

    private static long? Peak(Graph graph, ShapeInference types)
    {
        var stored = Storage(graph);
        Value Of(Value value)
        {
            while (stored.TryGetValue(value, out var next))
                value = next;
            return value;
        }

        Node[] nodes = [.. graph.Nodes];
        var last = new Dictionary<Value, int>();
        for (var i = 0; i < nodes.Length; i++)
        {
            foreach (var read in Reads(nodes[i]).Where(v => v.Graph == graph))
                last[Of(read)] = i;
        }
        foreach (var output in graph.Outputs.Where(o => o.Graph == graph))
            last[Of(output)] = int.MaxValue;

        var live = new Dictionary<Value, long>();
        long sum = 0;
        bool Start(Value value)
        {
            var root = Of(value);
            if (root.Constant is not null || root.Producer?.Is("Constant") == true || live.ContainsKey(root))
                return true;
            if (Bytes(types[root]) is not { } bytes)
                return false;
            live.Add(root, bytes);
            sum = checked(sum + bytes);
            return true;
        }

        foreach (var input in graph.RequiredInputs)
        {
            if (!Start(input))
                return null;
        }
        var peak = sum;
        for (var i = 0; i < nodes.Length; i++)
        {
            foreach (var made in nodes[i].Outputs.OfType<Value>())
            {
                if (!Start(made))
                    return null;
            }
            long nested = 0;
            foreach (var inner in nodes[i].Subgraphs)
            {
                if (Peak(inner, types) is not { } bytes)
                    return null;
                nested = Math.Max(nested, bytes);
            }
            peak = Math.Max(peak, checked(sum + nested));
            foreach (var gone in Reads(nodes[i]).Concat(nodes[i].Outputs.OfType<Value>()).Where(v => v.Graph == graph).Select(Of).Where(v => last.GetValueOrDefault(v, -1) <= i).ToArray())
            {
                if (live.Remove(gone, out var bytes))
                    sum -= bytes;
            }
        }
        return peak;
    }

    /// <summary>Values that lie in the memory of another one: both sides of a DequantizeLinear, and what a QuantizeLinear alone reads with what it makes.</summary>
    private static Dictionary<Value, Value> Storage(Graph graph)
    {
        var stored = new Dictionary<Value, Value>();
        foreach (var node in graph.Nodes)
        {
            if (node.Input(0) is not { } input || node.Outputs is not [{ } output, ..])
                continue;
            if (node.Is("DequantizeLinear") && !output.IsOutput)
                stored[output] = input;
            else if (node.Is("QuantizeLinear") && input is { Uses.Count: 1, IsOutput: false, IsInput: false, Constant: null })
                stored[input] = output;
        }
        return stored;
    }

    /// <summary>What a node reads, values of this and outer graphs that its nested graphs read included.</summary>
    private static IEnumerable<Value> Reads(Node node) =>
        node.Inputs.OfType<Value>().Concat(node.Subgraphs.SelectMany(g => g.Nodes.SelectMany(Reads).Concat(g.Outputs)));

    private static long? Bytes(TensorType type)
    {
        if (type.Shape is not { } shape || type.Element.Bits() == 0)
            return null;
        long count = 1;
        for (var i = 0; i < shape.Length; i++)
        {
            if ((shape[i].Value ?? (i == 0 && shape[i].Symbol is not null ? 1 : null)) is not { } extent)
                return null;
            count = checked(count * extent);
        }
        return type.Element.ByteLength(count);
    }
}
