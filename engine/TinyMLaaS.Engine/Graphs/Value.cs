using System.Collections.Immutable;

namespace TinyMLaaS.Engine.Graphs;

/// <summary>
/// An edge of the graph: made once (by a node, as a graph input or as an initializer), read any number of times. Identity is equality.
/// All links are kept by <see cref="Graph"/>.
/// </summary>
public sealed class Value
{
    private readonly List<Use> _uses = [];

    internal Value(Graph graph, string name)
    {
        Graph = graph;
        Name = name;
    }

    /// <summary>The graph that made it.</summary>
    public Graph Graph { get; internal set; }

    /// <summary>Unique in its graph and in the graphs around it.</summary>
    public string Name { get; internal set; }

    /// <summary>Element type; <see cref="ElementType.Undefined"/> when not known or no tensor.</summary>
    public ElementType Type { get; set; }

    /// <summary>Shape; null when not even the rank is known.</summary>
    public ImmutableArray<Dimension>? Shape { get; set; }

    /// <summary>Serialized type of a value that is no dense tensor (sequence, map, optional, sparse); null otherwise.</summary>
    public ReadOnlyMemory<byte>? OpaqueType { get; set; }

    /// <summary>The node that makes it; null for graph inputs and initializers.</summary>
    public Node? Producer { get; internal set; }

    /// <summary>Which output of <see cref="Producer"/> it is.</summary>
    public int ProducerIndex { get; internal set; }

    /// <summary>The content of an initializer; null for every other value.</summary>
    public Tensor? Constant { get; internal set; }

    /// <summary>True when the graph takes it as an input. An initializer that is an input too can be overridden by a caller, so its content is no constant.</summary>
    public bool IsInput { get; internal set; }

    /// <summary>True when the graph returns it, also if no node reads it.</summary>
    public bool IsOutput { get; internal set; }

    /// <summary>True when its content is fixed: an initializer that no caller can override.</summary>
    public bool IsConstant => Constant is not null && !IsInput;

    /// <summary>Every place that reads it, in no particular order, nested graphs included; the outputs of the graph are not among them (<see cref="IsOutput"/>).</summary>
    public IReadOnlyList<Use> Uses => _uses;

    /// <summary>The shape if every extent is a number; null otherwise.</summary>
    public long[]? StaticShape => Shape is { } shape && shape.All(d => d.Value is not null) ? [.. shape.Select(d => d.Value!.Value)] : null;

    /// <inheritdoc/>
    public override string ToString() => Name;

    /// <summary>The file's serialized description without name and type, kept for a round trip.</summary>
    internal ReadOnlyMemory<byte> Unmodelled { get; set; }

    /// <summary>The file's serialized initializer without name, type, shape and content, kept for a round trip.</summary>
    internal ReadOnlyMemory<byte> UnmodelledContent { get; set; }

    /// <summary>True when the file states the type of this inner value, so that writing states it again; an inferred type is not written.</summary>
    internal bool IsTypeStated { get; set; }

    internal int AddUse(Use use)
    {
        _uses.Add(use);
        return _uses.Count - 1;
    }

    /// <summary>Takes the reader at a place out; the last one moves there.</summary>
    internal void RemoveUse(int place)
    {
        var last = _uses[^1];
        _uses[place] = last;
        last.Node.SetPlace(last.Index, place);
        _uses.RemoveAt(_uses.Count - 1);
    }

    internal bool KnowsUse(Use use)
    {
        var place = use.Node.PlaceOf(use.Index);
        return place < _uses.Count && _uses[place] == use;
    }
}

/// <summary>Input <paramref name="Index"/> of <paramref name="Node"/> reads a value.</summary>
public readonly record struct Use(Node Node, int Index);
