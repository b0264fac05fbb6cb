using System.Collections.Immutable;

namespace TinyMLaaS.Engine.Graphs;

/// <summary>
/// Element types and shapes of all values of a model, worked out from inputs, initializers and attributes. What an operator's rule does not
/// tell with certainty is taken from what the file states, or stays unknown. The model itself is not touched.
/// </summary>
internal sealed class ShapeInference
{
    /// <summary>Most axes of a value that are followed: a shape of thousands, handed from node to node, would be thousands of shapes.</summary>
    private const int HighestRank = 64;

    private readonly Dictionary<Value, TensorType> _types = [];
    private readonly Dictionary<Value, ImmutableArray<Dimension>> _contents = [];
    private readonly bool _isExact;
    private int _symbols;

    private ShapeInference(bool isExact) => _isExact = isExact;

    /// <summary>Infers a whole model. Cost: linear in nodes and edges.</summary>
    public static ShapeInference Of(Model model)
    {
        var inference = new ShapeInference(isExact: false);
        inference.Walk(model.Graph);
        return inference;
    }

    /// <summary>
    /// The same with symbols of its own in place of the file's, which exporters also give to extents that differ: two extents with one symbol here are equal
    /// for certain, whatever a caller passes. Also follows the contents of integer lists that shapes are computed with.
    /// </summary>
    public static ShapeInference Exact(Model model)
    {
        var inference = new ShapeInference(isExact: true);
        inference.Walk(model.Graph);
        return inference;
    }

    /// <summary>What is known of a value.</summary>
    public TensorType this[Value value] => _types.TryGetValue(value, out var type) ? type : Stated(value);

    /// <summary>What is known of input <paramref name="index"/> of a node; nothing when it is left out.</summary>
    public TensorType Input(Node node, int index) => node.Input(index) is { } value ? this[value] : default;

    /// <summary>What is known of output 0 of a node; nothing when it is left out.</summary>
    public TensorType Output(Node node) => node.Outputs is [{ } value, ..] ? this[value] : default;

    /// <summary>The elements of a list of whole numbers (or of a scalar) as far as they are known: numbers, extents of other values, or nothing; null when not even their count is.</summary>
    public ImmutableArray<Dimension>? Contents(Value? value) =>
        value is null ? null
        : value.IsConstant ? ShapeContents.Of(value.Constant!)
        : _contents.TryGetValue(value, out var known) ? known : null;

    /// <summary>Works the outputs of a node out again, after its inputs became better known.</summary>
    public void Refresh(Node node)
    {
        var inferred = new TensorType[node.Outputs.Count];
        try
        {
            OperatorShapes.Infer(node, this, inferred);
        }
        catch (Exception e) when (e is OverflowException or ArgumentException or IndexOutOfRangeException)
        {
            // Attributes that contradict the inputs: the runtime will say so, here it only means that nothing is known.
            Array.Clear(inferred);
        }
        for (var i = 0; i < inferred.Length; i++)
        {
            if (node.Outputs[i] is { OpaqueType: null } output)
                _types[output] = Named(Merge(inferred[i].Rank > HighestRank ? inferred[i] with { Shape = null } : inferred[i], Stated(output)));
        }
        if (_isExact && node.Outputs is [{ } list])
        {
            if (ShapeContents.Infer(node, this) is { } contents)
                _contents[list] = contents;
            else
                _contents.Remove(list);
        }
    }

    private TensorType Stated(Value value) =>
        new(value.Type, value.Shape is not { Length: <= HighestRank } shape ? null : _isExact && shape.Any(d => d.Symbol is not null) ? [.. shape.Select(d => d.Value is null ? Dimension.Unknown : d)] : shape);

    /// <summary>Gives every extent that nothing is known of a symbol of its own.</summary>
    private TensorType Named(TensorType type) =>
        _isExact && type.Shape is { } shape && shape.Contains(Dimension.Unknown)
            ? type with { Shape = [.. shape.Select(d => d == Dimension.Unknown ? (Dimension)$"#{_symbols++}" : d)] }
            : type;

    private void Walk(Graph graph)
    {
        if (_isExact)
        {
            foreach (var input in graph.Inputs.Where(i => i.OpaqueType is null))
                _types[input] = Named(Stated(input));
        }
        foreach (var node in graph.Nodes)
        {
            foreach (var nested in node.Subgraphs)
                Walk(nested);
            Refresh(node);
        }
    }

    private static TensorType Merge(TensorType inferred, TensorType stated)
    {
        var element = inferred.Element == ElementType.Undefined ? stated.Element : inferred.Element;
        if (inferred.Shape is not { } shape)
            return new TensorType(element, stated.Shape);
        if (stated.Shape is not { } known || known.Length != shape.Length)
            return inferred with { Element = element };
        return new TensorType(element, [.. shape.Zip(known, (a, b) => a.Value is not null || (a.Symbol is not null && b.Value is null) ? a : b)]);
    }
}
