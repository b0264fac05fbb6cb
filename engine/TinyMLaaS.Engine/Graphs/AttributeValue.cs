using System.Collections.Immutable;

namespace TinyMLaaS.Engine.Graphs;

/// <summary>The value of a node's attribute. Immutable, but for a nested graph.</summary>
public abstract record AttributeValue
{
    private AttributeValue()
    {
    }

    /// <summary>Documentation string of the file.</summary>
    public string Doc { get; init; } = "";

    /// <summary>The graphs nested in it.</summary>
    internal ImmutableArray<Graph> Nested => this switch
    {
        Subgraph a => [a.Value],
        Subgraphs a => a.Values,
        _ => [],
    };

    /// <summary>A signed 64-bit number.</summary>
    public sealed record Int(long Value) : AttributeValue;

    /// <summary>A 32-bit float.</summary>
    public sealed record Float(float Value) : AttributeValue;

    /// <summary>Text; bytes that are no UTF-8 are kept as <see cref="Opaque"/>.</summary>
    public sealed record Text(string Value) : AttributeValue;

    /// <summary>A list of numbers.</summary>
    public sealed record Ints(ImmutableArray<long> Values) : AttributeValue;

    /// <summary>A list of floats.</summary>
    public sealed record Floats(ImmutableArray<float> Values) : AttributeValue;

    /// <summary>A list of texts.</summary>
    public sealed record Texts(ImmutableArray<string> Values) : AttributeValue;

    /// <summary>A constant.</summary>
    public sealed record Constant(Tensor Value) : AttributeValue
    {
        /// <summary>The file's serialized tensor without type, shape and content, kept for a round trip.</summary>
        internal ReadOnlyMemory<byte> Unmodelled { get; init; }
    }

    /// <summary>A nested graph, as If, Loop and Scan have; its nodes may read values of the graphs around it.</summary>
    public sealed record Subgraph(Graph Value) : AttributeValue;

    /// <summary>A list of nested graphs, which no standard operator has.</summary>
    public sealed record Subgraphs(ImmutableArray<Graph> Values) : AttributeValue;

    /// <summary>Anything else, kept as the serialized attribute so that it survives a round trip untouched.</summary>
    public sealed record Opaque(ReadOnlyMemory<byte> Serialized) : AttributeValue;
}
