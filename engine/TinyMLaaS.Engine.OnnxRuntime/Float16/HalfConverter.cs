using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.OnnxRuntime.Float16;

/// <summary>
/// Writes float16 into a graph: operators that can take it do, the others stay float32 between Casts. Decides from the structure, from what the runtime loads and from the ranges that tensors were seen to have.
/// </summary>
/// <param name="graph">The outermost graph, changed in place.</param>
/// <param name="support">What each operator can take.</param>
/// <param name="typeOf">Element types before.</param>
/// <param name="rangeOf">Smallest and largest value seen of a tensor; null when none was.</param>
/// <param name="excluded">Nodes that stay float32.</param>
/// <param name="keepIo">Inputs and outputs stay float32.</param>
internal sealed class HalfConverter(Graph graph, HalfSupport support, Func<Value, ElementType> typeOf, Func<Value, (double Minimum, double Maximum)?> rangeOf, IReadOnlySet<Node> excluded, bool keepIo)
{
    private readonly HashSet<Value> _halves = [];
    private readonly Dictionary<Value, Value> _constants = [];
    private readonly Dictionary<(Value, bool), Value> _casts = [];
    private readonly List<(Node Node, string Reason)> _islands = [];

    /// <summary>Operators that compute with float16 now.</summary>
    public int Converted { get; private set; }

    /// <summary>Operators with floats that stay float32, and why.</summary>
    public IReadOnlyList<(Node Node, string Reason)> Islands => _islands;

    /// <summary>Casts that stand between the two.</summary>
    public int Casts => _casts.Count;

    /// <summary>Converts. Call once.</summary>
    public void Convert()
    {
        Node[] nodes = [.. graph.Nodes];
        if (!keepIo)
        {
            foreach (var input in graph.RequiredInputs.Where(IsFloat))
            {
                input.Type = ElementType.Float16;
                _halves.Add(input);
            }
        }
        foreach (var node in nodes)
        {
            if (node.Inputs.OfType<Value>().Any(IsFloat) || node.Outputs.OfType<Value>().Any(IsFloat) || node.Subgraphs.Any())
                Convert(node);
        }
        foreach (var output in graph.Outputs.ToArray())
        {
            if (_halves.Contains(output) && keepIo)
                Return(output);
            else if (IsFloat(output) && !keepIo && !_halves.Contains(output) && output.Producer is not null)
                Return(output, ElementType.Float16);
        }
        graph.RemoveUnused();
    }

    private bool IsFloat(Value value) => typeOf(value) == ElementType.Float;

    private void Convert(Node node)
    {
        var (how, reason) = How(node);
        if (reason is not null)
            _islands.Add((node, reason));
        for (var i = 0; i < node.Inputs.Count; i++)
        {
            if (node.Inputs[i] is not { } input || !IsFloat(input))
                continue;
            var wantsHalf = how?.Inputs.Contains(i) == true;
            if (wantsHalf && input.IsConstant)
                node.SetInput(i, Constant(input));
            else if (wantsHalf != _halves.Contains(input))
                node.SetInput(i, Cast(input, wantsHalf));
        }
        foreach (var nested in node.Subgraphs)
            Restore(nested, node);
        if (how is null)
            return;
        Converted++;
        for (var i = 0; i < node.Outputs.Count; i++)
        {
            if (node.Outputs[i] is not { } output || how.Outputs[i] != ElementType.Float16)
                continue;
            _halves.Add(output);
            output.Type = ElementType.Float16;
        }
    }

    /// <summary>How a node takes float16; or why it does not, when it is an operator that computes with floats.</summary>
    private (HalfSupport.Support? How, string? Reason) How(Node node)
    {
        if (node.Subgraphs.Any())
            return (null, "it holds nested graphs, whose values stay float32");
        // Its result is what its attribute says, and whole numbers may be larger than float16 goes.
        if (node.Is("Cast") || !node.Inputs.OfType<Value>().Any(IsFloat))
            return default;
        if (excluded.Contains(node))
            return (null, "excluded by option");
        foreach (var value in node.Inputs.Concat(node.Outputs).OfType<Value>().Where(IsFloat))
        {
            if (value.Constant is null && rangeOf(value) is var (minimum, maximum) && HalfTensor.WhyNot($"the tensor '{value.Name}'", minimum, maximum) is { } seen)
                return (null, seen);
        }
        var how = support.Of(node);
        if (how.WhyNot is not null)
            return (null, how.WhyNot);
        foreach (var index in how.Inputs)
        {
            if (node.Input(index) is { IsConstant: true, Constant: { } constant } value && HalfTensor.WhyNot(value.Name, constant) is { } obstacle)
                return (null, obstacle);
        }
        return (how, null);
    }

    /// <summary>What nested graphs read of values around them stays float32.</summary>
    private void Restore(Graph nested, Node owner)
    {
        foreach (var node in nested.Nodes)
        {
            foreach (var deeper in node.Subgraphs)
                Restore(deeper, owner);
            for (var i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] is { } input && _halves.Contains(input))
                    node.SetInput(i, Cast(input, toHalf: false));
            }
        }
    }

    private Value Constant(Value value)
    {
        if (!_constants.TryGetValue(value, out var half))
            _constants.Add(value, half = graph.AddConstant($"{value.Name}_half", HalfTensor.Of(value.Constant!)));
        return half;
    }

    private Value Cast(Value value, bool toHalf)
    {
        if (_casts.TryGetValue((value, toHalf), out var cast))
            return cast;
        // Right behind what makes it, so that whoever reads it later finds it made.
        var before = value.Producer is { } producer ? producer.Next : graph.First;
        cast = graph.AddNode("Cast", [value], $"{value.Name}_{(toHalf ? "half" : "float")}", before);
        cast.Producer!.Set("to", new AttributeValue.Int((long)(toHalf ? ElementType.Float16 : ElementType.Float)));
        cast.Type = toHalf ? ElementType.Float16 : ElementType.Float;
        cast.Shape = value.Shape;
        return _casts[(value, toHalf)] = cast;
    }

    /// <summary>The network returns the value as another type, under its name.</summary>
    private void Return(Value output, ElementType type = ElementType.Float)
    {
        var half = output.Type;
        Use[] uses = [.. output.Uses];
        var cast = _casts.GetValueOrDefault((output, type == ElementType.Float16)) ?? Cast(output, type == ElementType.Float16);
        graph.Replace(output, cast);
        cast.Producer!.SetInput(0, output);
        foreach (var use in uses.Where(u => u.Node != cast.Producer))
            use.Node.SetInput(use.Index, output);
        (output.Type, cast.Type) = (half, type);
    }
}
