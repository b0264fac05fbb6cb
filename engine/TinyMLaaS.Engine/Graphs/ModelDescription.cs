namespace TinyMLaaS.Engine.Graphs;

/// <summary>What a caller of a network must know, and what it costs to run.</summary>
public sealed record ModelDescription
{
    /// <summary>Inputs that must be passed, in order.</summary>
    public required IReadOnlyList<ValueDescription> Inputs { get; init; }

    /// <summary>Outputs in order.</summary>
    public required IReadOnlyList<ValueDescription> Outputs { get; init; }

    /// <summary>Version of ONNX's own operator set.</summary>
    public required long Opset { get; init; }

    /// <summary>Version of ONNX's file format.</summary>
    public required long IrVersion { get; init; }

    /// <summary>See <see cref="ModelCosts.Parameters"/>.</summary>
    public required long Parameters { get; init; }

    /// <summary>See <see cref="ModelCosts.Macs"/>.</summary>
    public required long? Macs { get; init; }

    /// <summary>How often each operator occurs, nested graphs included; names of other domains than ONNX's are <c>domain:name</c>.</summary>
    public required IReadOnlyDictionary<string, int> Operators { get; init; }

    /// <summary>
    /// The most bytes that values between operators take at once, at batch 1: operators in the file's order, nothing in place, constants not counted,
    /// rounded values in the size of their integers. Null when a size is not known.
    /// </summary>
    public required long? PeakActivationBytes { get; init; }

    /// <summary>Describes a model, which is not changed.</summary>
    public static ModelDescription Of(Model model)
    {
        var types = ShapeInference.Of(model);
        var costs = ModelCosts.Of(model);
        var operators = new SortedDictionary<string, int>(StringComparer.Ordinal);
        Count(model.Graph, operators);
        return new ModelDescription
        {
            Inputs = [.. model.Graph.RequiredInputs.Select(i => ValueDescription.Of(i, types[i]))],
            Outputs = [.. model.Graph.Outputs.Select(o => ValueDescription.Of(o, types[o]))],
            Opset = model.Opset,
            IrVersion = model.IrVersion,
            Parameters = costs.Parameters,
            Macs = costs.Macs,
            Operators = operators,
            PeakActivationBytes = ActivationMemory.PeakBytes(model, types),
        };
    }

    private static void Count(Graph graph, SortedDictionary<string, int> operators)
    {
        foreach (var node in graph.Nodes)
        {
            var name = node.Domain.Length == 0 ? node.OpType : $"{node.Domain}:{node.OpType}";
            operators[name] = operators.GetValueOrDefault(name) + 1;
            foreach (var nested in node.Subgraphs)
                Count(nested, operators);
        }
    }
}
