using System.Collections.Frozen;
using Google.Protobuf;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Onnx;

/// <summary>
/// Brings a model of opset 7 to 12 to opset 13, the first with per-channel DequantizeLinear, without changing what it computes. The steps follow the
/// version history in ONNX's operator changelog; where ONNX left the old meaning open, ONNX Runtime's kernels of the old version decide.
/// </summary>
internal static class OpsetUpgrade
{
    /// <summary>The opset that every model has afterwards at least.</summary>
    public const long Target = 13;

    // Same inputs, attributes and meaning in opset 13 as in every version since 7: at most types were added, optional inputs, or attributes whose default is the old meaning.
    private static readonly FrozenSet<string> Unchanged = FrozenSet.Create(
        StringComparer.Ordinal,
        "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool", "BitShift", "Cast", "Ceil", "Celu", "Compress", "Concat",
        "ConcatFromSequence", "Constant", "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "DequantizeLinear", "Det", "Div",
        "DynamicQuantizeLinear", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gemm",
        "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "HardSigmoid", "Identity", "If", "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LSTM",
        "LeakyRelu", "Less", "LessOrEqual", "Log", "Loop", "LpNormalization", "LpPool", "MatMul", "MatMulInteger", "Max", "MaxPool", "MaxRoiPool", "MaxUnpool", "Mean",
        "MeanVarianceNormalization", "Min", "Mod", "Mul", "Neg", "NonMaxSuppression", "NonZero", "Not", "OneHot", "Or", "PRelu", "Pow", "QLinearConv", "QLinearMatMul",
        "QuantizeLinear", "RNN", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
        "ReduceSumSquare", "Relu", "Reshape", "ReverseSequence", "RoiAlign", "Round", "ScatterElements", "ScatterND", "Selu", "SequenceAt", "SequenceConstruct", "SequenceEmpty",
        "SequenceErase", "SequenceInsert", "SequenceLength", "Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Softplus", "Softsign", "SpaceToDepth", "SplitToSequence",
        "Sqrt", "StringNormalizer", "Sub", "Sum", "Tan", "Tanh", "TfIdfVectorizer", "ThresholdedRelu", "Tile", "Transpose", "Unique", "Where", "Xor");

    /// <summary>
    /// Upgrades in place. Also, below IR 4, where runtimes do not let callers override them, initializers stop being graph inputs.
    /// </summary>
    /// <returns>True when anything changed.</returns>
    /// <exception cref="TransformRejectedException"><c>unsupported-opset-upgrade</c>: the message names every node that has no certain equivalent; the model is then half changed and of no more use.</exception>
    public static bool Apply(Model model)
    {
        var isChanged = false;
        if (model.IrVersion < OnnxVersions.FirstIrWithFreeInitializers)
        {
            foreach (var initializer in model.Graph.Initializers.Where(i => i.IsInput).ToArray())
                model.Graph.SealInitializer(initializer);
            model.IrVersion = OnnxVersions.FirstIrWithFreeInitializers;
            isChanged = true;
        }
        if (!model.Opsets.ContainsKey("") || model.Opset >= Target)
            return isChanged;
        var problems = new List<string>();
        var rest = Functions(model, problems);
        Walk(model.Graph, model.Opset, ShapeInference.Of(model), problems);
        if (problems.Count > 0)
            throw Refused(problems, model.Opset);
        model.Unmodelled = rest;
        model.Opsets[""] = Target;
        model.IrVersion = Math.Max(model.IrVersion, OnnxVersions.IrOf(Target));
        return true;
    }

    private static TransformRejectedException Refused(IReadOnlyList<string> problems, long from) =>
        new("unsupported-opset-upgrade", $"Cannot bring the model from opset {from} to {Target}: {string.Join("; ", problems.Take(20))}{(problems.Count > 20 ? $"; and {problems.Count - 20} more" : "")}. Export it again with opset {Target} or later.");

    /// <summary>What the model carries beside its graph, its functions' opset raised: they are not rewritten, so all their operators must mean in the new one what they meant.</summary>
    private static ReadOnlyMemory<byte> Functions(Model model, List<string> problems)
    {
        if (!model.HasFunctions)
            return model.Unmodelled;
        var rest = ModelProto.Parser.ParseFrom(model.Unmodelled.Span);
        foreach (var function in rest.Functions)
        {
            problems.AddRange(OwnOperators(function.Node).Where(o => !Unchanged.Contains(o)).Distinct().Select(o => $"function '{function.Name}' uses {o}, and functions are not rewritten"));
            foreach (var import in function.OpsetImport.Where(i => OnnxReader.Domain(i.Domain).Length == 0 && i.Version < Target))
                import.Version = Target;
        }
        return rest.ToByteArray();
    }

    private static IEnumerable<string> OwnOperators(IEnumerable<NodeProto> nodes)
    {
        foreach (var node in nodes)
        {
            if (OnnxReader.Domain(node.Domain).Length == 0)
                yield return node.OpType;
            foreach (var nested in node.Attribute.SelectMany(a => a.Graphs.Append(a.G)).Where(g => g is not null).SelectMany(g => OwnOperators(g.Node)))
                yield return nested;
        }
    }

    private static void Walk(Graph graph, long from, ShapeInference types, List<string> problems)
    {
        foreach (var node in graph.Nodes)
        {
            foreach (var nested in node.Subgraphs)
                Walk(nested, from, types, problems);
            if (node.Domain.Length > 0 || Unchanged.Contains(node.OpType))
                continue;
            if (Upgrade(graph, node, from, types) is { } reason)
                problems.Add($"node '{node.Label}' ({node.OpType}): {reason}");
        }
    }

    /// <summary>Upgrades one node; the reason when it cannot be done with certainty.</summary>
    private static string? Upgrade(Graph graph, Node node, long from, ShapeInference types) => node.OpType switch
    {
        "BatchNormalization" => BatchNormalization(node),
        "Clip" => from < 11 ? Clip(graph, node, types) : null,
        "Dropout" => from < 12 ? Dropout(node) : null,
        "Pad" => from < 11 ? Pad(graph, node, types) : null,
        "Resize" => from < 11 ? Resize(graph, node, node.Input(1)) : HalfPixels(node),
        "Upsample" => Upsample(graph, node),
        "Scan" => from < 9 ? Scan(graph, node, types) : null,
        "Scatter" => Scatter(graph, node),
        "Slice" => from < 10 ? Slice(graph, node) : null,
        "Softmax" or "LogSoftmax" or "Hardmax" => Softmax(graph, node, types),
        "Split" => ListToInput(graph, node, "split"),
        "Squeeze" or "Unsqueeze" or "ReduceSum" => ListToInput(graph, node, "axes"),
        "TopK" => from < 10 ? TopK(graph, node) : null,
        _ => "no equivalent is known",
    };

    private static string? BatchNormalization(Node node)
    {
        if (node.Int("spatial", 1) != 1)
            return "statistics per element (spatial = 0) are gone";
        node.Set("spatial", null);
        return null;
    }

    private static string? Clip(Graph graph, Node node, ShapeInference types)
    {
        var type = types.Input(node, 0).Element;
        var inputs = new List<Value?> { node.Input(0) };
        foreach (var bound in (string[])["min", "max"])
        {
            if (!node.Attributes.ContainsKey(bound))
            {
                inputs.Add(null);
                continue;
            }
            if (Scalar(type, node.Float(bound, 0)) is not { } content)
                return $"the type of its input is not known, so neither is that of its bound '{bound}'";
            inputs.Add(graph.AddConstant($"{Hint(node)}_{bound}", content));
        }
        while (inputs[^1] is null)
            inputs.RemoveAt(inputs.Count - 1);
        graph.Substitute(node, "Clip", inputs);
        return null;
    }

    private static Tensor? Scalar(ElementType type, float value) => type switch
    {
        ElementType.Float => Tensor.Scalar(value),
        ElementType.Double => Tensor.Scalar((double)value),
        ElementType.Float16 => Tensor.Scalar((Half)value),
        _ => null,
    };

    private static string? Dropout(Node node)
    {
        if (node.Outputs.Count > 1 && node.Outputs[1] is { } mask && (mask.IsOutput || mask.Uses.Count > 0))
            return $"its mask '{mask.Name}' is read, and what it holds has changed";
        // The ratio matters in training only, and before opset 12 the operator has no training mode.
        node.Set("ratio", null);
        return null;
    }

    private static string? Pad(Graph graph, Node node, ShapeInference types)
    {
        if (node.Ints("pads") is not { } pads)
            return "it has no attribute 'pads'";
        var inputs = new List<Value?> { node.Input(0), graph.AddConstant($"{Hint(node)}_pads", Tensor.Vector<long>(pads.AsSpan())) };
        var value = node.Float("value", 0);
        if (value != 0)
        {
            if (Scalar(types.Input(node, 0).Element, value) is not { } content)
                return "the type of its input is not known, so neither is that of its value";
            inputs.Add(graph.AddConstant($"{Hint(node)}_value", content));
        }
        var mode = node.Text("mode", "constant");
        graph.Substitute(node, "Pad", inputs).Set("mode", new AttributeValue.Text(mode));
        return null;
    }

    private static string? Upsample(Graph graph, Node node)
    {
        if (node.Attributes.GetValueOrDefault("scales") is AttributeValue.Floats scales)
            return Resize(graph, node, graph.AddConstant($"{Hint(node)}_scales", Tensor.Vector<float>(scales.Values.AsSpan())));
        return node.Input(1) is { } input ? Resize(graph, node, input) : "it has no scales";
    }

    /// <summary>Before opset 11: source = target / scale; the nearest source is the one below, or above when the axis shrinks.</summary>
    private static string? Resize(Graph graph, Node node, Value? scales)
    {
        var mode = node.Text("mode", "nearest");
        var nearest = "floor";
        if (mode == "nearest")
        {
            var content = ConstantOf(scales);
            if (content is not { Type: ElementType.Float } && node.OpType != "Upsample")
                return "its scales are not constant, and the old rounding depends on them";
            // Upsample's factors are 1 at least by its definition.
            var factors = content is { Type: ElementType.Float } ? content.As<float>().ToArray() : [];
            if (factors.Any(f => f < 1) && factors.Any(f => f > 1))
                return "it shrinks one axis and stretches another, and no mode rounds both as before";
            nearest = factors.Any(f => f < 1) ? "ceil" : "floor";
        }
        else if (mode is not ("linear" or "bilinear"))
        {
            return $"its mode '{mode}' is not known";
        }
        var resize = graph.Substitute(node, "Resize", [node.Input(0), null, scales]);
        resize.Set("mode", new AttributeValue.Text(mode == "bilinear" ? "linear" : mode));
        resize.Set("coordinate_transformation_mode", new AttributeValue.Text("asymmetric"));
        if (mode == "nearest")
            resize.Set("nearest_mode", new AttributeValue.Text(nearest));
        return null;
    }

    /// <summary>
    /// tf_half_pixel_for_nn is source = (target + 0.5) / scale, half_pixel is that less 0.5; the nearest source is then found by the other mode that looks half a step
    /// further: floor(v) = round_prefer_ceil(v - 0.5), round_prefer_floor(v) = ceil(v - 0.5). Both halves are exact in floats.
    /// </summary>
    private static string? HalfPixels(Node node)
    {
        if (node.Text("coordinate_transformation_mode", "half_pixel") != "tf_half_pixel_for_nn")
            return null;
        var mode = node.Text("mode", "nearest");
        if (mode != "nearest")
            return $"its coordinates tf_half_pixel_for_nn are gone, and those of the mode '{mode}' have no counterpart";
        var nearest = node.Text("nearest_mode", "round_prefer_floor");
        if (nearest is not ("floor" or "round_prefer_floor"))
            return $"its coordinates tf_half_pixel_for_nn are gone, and rounded by '{nearest}' they have no counterpart";
        node.Set("coordinate_transformation_mode", new AttributeValue.Text("half_pixel"));
        node.Set("nearest_mode", new AttributeValue.Text(nearest == "floor" ? "round_prefer_ceil" : "ceil"));
        return null;
    }

    /// <summary>Before opset 9, axis 0 of everything was a batch and each of its entries was scanned by itself: that is a Scan over the batch around the Scan.</summary>
    private static string? Scan(Graph graph, Node node, ShapeInference types)
    {
        if (node.Input(0) is { } lengths)
            return $"its sequence lengths '{lengths.Name}' are gone";
        var inputs = node.Inputs.Skip(1).ToArray();
        var count = node.Int("num_scan_inputs", 0);
        if (inputs.Contains(null) || count < 1 || count > inputs.Length || node.Attributes.GetValueOrDefault("body") is not AttributeValue.Subgraph)
            return "its inputs or its body are not as a Scan has them";
        var name = Hint(node);
        var entry = new Graph($"{name}_entry");
        for (var i = 0; i < inputs.Length; i++)
        {
            var type = types[inputs[i]!];
            var input = entry.AddInput(graph.FreeName($"{name}_entry_{inputs[i]!.Name}_{i}"));
            input.Type = type.Element;
            input.Shape = type.Shape is { Length: > 0 } shape ? shape[1..] : null;
        }
        var outputs = Enumerable.Range(0, node.Outputs.Count).Select(i => graph.FreeName($"{name}_entry_output_{i}")).ToArray();
        var scan = entry.AddNode("Scan", [.. entry.Inputs], outputs);
        scan.Set("num_scan_inputs", new AttributeValue.Int(count));
        if (node.Ints("directions") is { } directions)
            scan.Set("scan_input_directions", new AttributeValue.Ints(directions));
        node.MoveAttribute("body", scan);
        foreach (var output in scan.Outputs)
            entry.AddOutput(output!);
        var each = graph.Substitute(node, "Scan", inputs);
        each.Set("num_scan_inputs", new AttributeValue.Int(inputs.Length));
        each.Set("body", new AttributeValue.Subgraph(entry));
        return null;
    }

    private static string Hint(Node node) => node.Outputs.FirstOrDefault(o => o is not null)?.Name ?? node.OpType;

    private static Tensor? ConstantOf(Value? value) =>
        value is null ? null : value.IsConstant ? value.Constant : value.Producer is { OpType: "Constant" } producer ? producer.TensorAttribute("value") : null;

    private static string? Scatter(Graph graph, Node node)
    {
        var axis = node.Int("axis", 0);
        graph.Substitute(node, "ScatterElements", [.. node.Inputs]).Set("axis", new AttributeValue.Int(axis));
        return null;
    }

    private static string? Slice(Graph graph, Node node)
    {
        if (node.Ints("starts") is not { } starts || node.Ints("ends") is not { } ends)
            return "it has no attributes 'starts' and 'ends'";
        var name = Hint(node);
        var inputs = new List<Value?> { node.Input(0), graph.AddConstant($"{name}_starts", Tensor.Vector<long>(starts.AsSpan())), graph.AddConstant($"{name}_ends", Tensor.Vector<long>(ends.AsSpan())) };
        if (node.Ints("axes") is { } axes)
            inputs.Add(graph.AddConstant($"{name}_axes", Tensor.Vector<long>(axes.AsSpan())));
        graph.Substitute(node, "Slice", inputs);
        return null;
    }

    private static string? TopK(Graph graph, Node node)
    {
        if (node.Attributes.GetValueOrDefault("k") is not AttributeValue.Int k)
            return "it has no attribute 'k'";
        var axis = node.Int("axis", -1);
        var name = Hint(node);
        graph.Substitute(node, "TopK", [node.Input(0), graph.AddConstant($"{name}_k", Tensor.Vector<long>(k.Value))]).Set("axis", new AttributeValue.Int(axis));
        return null;
    }

    /// <summary>
    /// Before opset 13 everything from the axis on was normalized together. Along the last axis, or where only extents of 1 follow, that is what opset 13 does;
    /// elsewhere the input is made two-dimensional first.
    /// </summary>
    private static string? Softmax(Graph graph, Node node, ShapeInference types)
    {
        var axis = node.Int("axis", 1);
        var type = types.Input(node, 0);
        if (type.Shape is { } shape)
        {
            var place = axis < 0 ? axis + shape.Length : axis;
            if (place < 0 || place > shape.Length)
                return $"it has no axis {axis}";
            if (place < shape.Length && shape.Skip((int)place + 1).All(d => d.Value == 1))
            {
                node.Set("axis", new AttributeValue.Int(place));
                return null;
            }
            axis = place;
        }
        if (axis < 0 && type.Shape is null)
            return "the rank of its input is not known, so neither is its axis";
        var name = Hint(node);
        var input = node.Input(0);
        var flat = graph.AddNode("Flatten", [input], $"{name}_flat", node);
        flat.Producer!.Set("axis", new AttributeValue.Int(axis));
        var normalized = graph.AddNode(node.OpType, [flat], $"{name}_normalized", node);
        normalized.Producer!.Set("axis", new AttributeValue.Int(1));
        var extents = graph.AddNode("Shape", [input], $"{name}_shape", node);
        graph.Substitute(node, "Reshape", [normalized, extents]);
        return null;
    }

    private static string? ListToInput(Graph graph, Node node, string attribute)
    {
        if (node.Ints(attribute) is not { } list)
            return null;
        var others = node.Attributes.Where(a => a.Key != attribute).ToArray();
        var name = Hint(node);
        var renewed = graph.Substitute(node, node.OpType, [node.Input(0), graph.AddConstant($"{name}_{attribute}", Tensor.Vector<long>(list.AsSpan()))]);
        foreach (var (key, value) in others)
            renewed.Set(key, value);
        return null;
    }
}
