namespace TinyMLaaS.Engine.Graphs;

/// <summary>A network: a graph with the versions of the operators it uses.</summary>
public sealed class Model
{
    /// <summary>A network around a graph.</summary>
    public Model(Graph graph, IReadOnlyDictionary<string, long> opsets, long irVersion)
    {
        Graph = graph;
        Opsets = new SortedDictionary<string, long>(opsets.ToDictionary(), StringComparer.Ordinal);
        IrVersion = irVersion;
    }

    /// <summary>The outermost graph.</summary>
    public Graph Graph { get; }

    /// <summary>Operator set versions by domain; ONNX's own domain is the empty string.</summary>
    public SortedDictionary<string, long> Opsets { get; }

    /// <summary>Version of ONNX's file format.</summary>
    public long IrVersion { get; set; }

    /// <summary>Metadata of the file, by key.</summary>
    public SortedDictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    /// <summary>The file's serialized model without what stands in the members here (producer, functions, ...), kept for a round trip.</summary>
    internal ReadOnlyMemory<byte> Unmodelled { get; set; }

    /// <summary>True when the model brings operators of its own, defined by nodes that are carried unread.</summary>
    public bool HasFunctions { get; internal set; }

    /// <summary>Version of ONNX's own operator set.</summary>
    public long Opset => Opsets.GetValueOrDefault("");
}
