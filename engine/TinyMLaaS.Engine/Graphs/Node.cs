using System.Collections.Immutable;

namespace TinyMLaaS.Engine.Graphs;

/// <summary>An operator in a graph. Made and removed by <see cref="Graph"/>, which keeps the links. Identity is equality.</summary>
public sealed class Node
{
    private readonly Value?[] _inputs;
    private readonly Value?[] _outputs;
    // Where in the reader list of its value each input stands: keeps taking a reader out, and checking that it is in, at constant cost.
    private readonly int[] _places;
    private readonly SortedDictionary<string, AttributeValue> _attributes = new(StringComparer.Ordinal);

    internal Node(Graph graph, string opType, string domain, string name, int inputs, int outputs)
    {
        Graph = graph;
        OpType = opType;
        Domain = domain;
        Name = name;
        _inputs = new Value?[inputs];
        _places = new int[inputs];
        _outputs = new Value?[outputs];
    }

    /// <summary>The graph it stands in; null once it was removed.</summary>
    public Graph? Graph { get; internal set; }

    /// <summary>Operator, e.g. <c>Conv</c>.</summary>
    public string OpType { get; }

    /// <summary>Operator domain; empty for ONNX's own.</summary>
    public string Domain { get; }

    /// <summary>Name for people; may be empty and need not be unique.</summary>
    public string Name { get; set; }

    /// <summary>Documentation string of the file.</summary>
    public string Doc { get; set; } = "";

    /// <summary>What it reads; null stands for an optional input that is left out.</summary>
    public IReadOnlyList<Value?> Inputs => _inputs;

    /// <summary>What it makes; null stands for an optional output that is left out.</summary>
    public IReadOnlyList<Value?> Outputs => _outputs;

    /// <summary>Attributes by name, in ordinal order.</summary>
    public IReadOnlyDictionary<string, AttributeValue> Attributes => _attributes;

    /// <summary>The file's serialized node without what stands in the members here, kept for a round trip.</summary>
    internal ReadOnlyMemory<byte> Unmodelled { get; set; }

    /// <summary>The rewrite rules that made or changed it, oldest first.</summary>
    public ImmutableArray<string> Provenance { get; set; } = [];

    /// <summary>The next node in the graph's order; null for the last.</summary>
    public Node? Next { get; internal set; }

    /// <summary>The node before in the graph's order; null for the first.</summary>
    public Node? Previous { get; internal set; }

    /// <summary>Graphs nested in its attributes.</summary>
    public IEnumerable<Graph> Subgraphs => _attributes.Values.SelectMany(a => a.Nested);

    /// <summary>Name if it has one, else operator and first output: enough to find it in a message.</summary>
    public string Label => Name.Length > 0 ? Name : $"{OpType} -> {_outputs.FirstOrDefault(o => o is not null)?.Name}";

    /// <summary>Input <paramref name="index"/>, or null when it is left out or past the end.</summary>
    public Value? Input(int index) => index < _inputs.Length ? _inputs[index] : null;

    /// <summary>Output 0.</summary>
    /// <exception cref="InvalidOperationException">The node leaves it out.</exception>
    public Value Output => _outputs.Length > 0 && _outputs[0] is { } output ? output : throw new InvalidOperationException($"{OpType} '{Name}' has no first output.");

    /// <summary>True for an operator of ONNX's own domain with this name.</summary>
    public bool Is(string opType) => OpType == opType && Domain.Length == 0;

    /// <summary>A number attribute, or <paramref name="otherwise"/> when it is absent or of another kind.</summary>
    public long Int(string name, long otherwise) => _attributes.GetValueOrDefault(name) is AttributeValue.Int a ? a.Value : otherwise;

    /// <summary>A float attribute, or <paramref name="otherwise"/>.</summary>
    public float Float(string name, float otherwise) => _attributes.GetValueOrDefault(name) is AttributeValue.Float a ? a.Value : otherwise;

    /// <summary>A text attribute, or <paramref name="otherwise"/>.</summary>
    public string Text(string name, string otherwise) => _attributes.GetValueOrDefault(name) is AttributeValue.Text a ? a.Value : otherwise;

    /// <summary>A list attribute, or null.</summary>
    public ImmutableArray<long>? Ints(string name) => _attributes.GetValueOrDefault(name) is AttributeValue.Ints a ? a.Values : null;

    /// <summary>A tensor attribute, or null.</summary>
    public Tensor? TensorAttribute(string name) => _attributes.GetValueOrDefault(name) is AttributeValue.Constant a ? a.Value : null;

    /// <summary>Sets an attribute, or removes it when <paramref name="value"/> is null. A nested graph that goes away releases what its nodes read.</summary>
    public void Set(string name, AttributeValue? value)
    {
        if (_attributes.GetValueOrDefault(name) is { } old)
        {
            foreach (var graph in old.Nested.Where(g => value?.Nested.Contains(g) != true))
                graph.ReleaseOuterUses();
        }
        if (value is null)
            _attributes.Remove(name);
        else
            _attributes[name] = value;
        foreach (var graph in value?.Nested ?? [])
            graph.Owner = this;
        Graph?.NoteNesting(this);
    }

    /// <summary>Moves an attribute to another node; nested graphs go with it and keep what they read.</summary>
    internal void MoveAttribute(string name, Node to)
    {
        var value = _attributes[name];
        _attributes.Remove(name);
        Graph?.NoteNesting(this);
        to.Set(name, value);
    }

    /// <summary>Makes input <paramref name="index"/> read <paramref name="value"/>, or nothing.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such input.</exception>
    public void SetInput(int index, Value? value)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)_inputs.Length, nameof(index));
        _inputs[index]?.RemoveUse(_places[index]);
        _inputs[index] = value;
        if (value is not null)
            _places[index] = value.AddUse(new Use(this, index));
    }

    /// <inheritdoc/>
    public override string ToString() => $"{OpType}({string.Join(", ", _inputs.Select(i => i?.Name ?? "-"))}) -> {string.Join(", ", _outputs.Select(o => o?.Name ?? "-"))}";

    internal int PlaceOf(int index) => _places[index];

    internal void SetPlace(int index, int place) => _places[index] = place;

    internal void SetOutput(int index, Value? value)
    {
        _outputs[index] = value;
        if (value is null)
            return;
        value.Producer = this;
        value.ProducerIndex = index;
    }
}
