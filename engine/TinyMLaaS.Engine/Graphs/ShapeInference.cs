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

    private ShapeInference()
    {
    }

    /// <summary>Infers a whole model. Cost: linear in nodes and edges.</summary>
    public static ShapeInference Of(Model model)
    {
        var inference = new ShapeInference();
        inference.Walk(model.Graph);
        return inference;
    }

    /// <summary>What is known of a value.</summary>
    public TensorType this[Value value] => _types.TryGetValue(value, out var type) ? type : Stated(value);

    /// <summary>What is known of input <paramref name="index"/> of a node; nothing when it is left out.</summary>
    public TensorType Input(Node node, int index) => node.Input(index) is { } value ? this[value] : default;

    /// <summary>What is known of output 0 of a node; nothing when it is left out.</summary>
    public TensorType Output(Node node) => node.Outputs is [{ } value, ..] ? this[value] : default;

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
                _types[output] = Merge(inferred[i].Rank > HighestRank ? inferred[i] with { Shape = null } : inferred[i], Stated(output));
        }
    }

    private static TensorType Stated(Value value) => new(value.Type, value.Shape is { Length: <= HighestRank } shape ? shape : null);

    private void Walk(Graph graph)
    {
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
