using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime.Float16;

/// <summary>
/// What ONNX Runtime makes of an operator that reads float16, found out by loading a network of that operator alone: the standard says what types may be, the runtime what it can run.
/// </summary>
internal sealed class HalfSupport(Model model, Func<Value, ElementType> typeOf)
{
    private readonly Dictionary<string, Support> _known = new(StringComparer.Ordinal);

    /// <summary>Operators that were loaded.</summary>
    public int Loaded { get; private set; }

    /// <summary>How an operator can take float16. Operators alike in all but their constants' contents are loaded once.</summary>
    public Support Of(Node node)
    {
        var key = string.Join('|', node.Domain, node.OpType, string.Join(',', node.Attributes.Select(a => $"{a.Key}={(a.Value is AttributeValue.Constant or AttributeValue.Opaque ? node.Label : a.Value is AttributeValue.Ints i ? string.Join('.', i.Values) : a.Value is AttributeValue.Floats f ? string.Join('.', f.Values) : a.Value)}")),
            string.Join(',', node.Inputs.Select(i => i is null ? "-" : $"{typeOf(i)}{(i.IsConstant ? "c" : "")}{i.Shape?.Length}")), node.Outputs.Count(o => o is not null));
        if (!_known.TryGetValue(key, out var support))
            _known.Add(key, support = Load(node));
        return support;
    }

    private Support Load(Node node)
    {
        int[] floats = [.. Enumerable.Range(0, node.Inputs.Count).Where(i => node.Input(i) is { } input && typeOf(input) == ElementType.Float)];
        // All of them, or the data alone: factors of a Resize, for one, are float32 in every form of it.
        string? reason = null;
        foreach (var halves in floats.Length > 1 && floats[0] == 0 ? [floats, [0]] : new[] { floats })
        {
            try
            {
                using var session = RuntimeSession.Open(OnnxFile.ToBytes(Alone(node, halves)), GraphOptimizationLevel.ORT_ENABLE_BASIC);
                return new Support([.. halves], [.. node.Outputs.Select((o, i) => o is null ? ElementType.Undefined : session.OutputType(OutputName(i)))], null);
            }
            catch (TransformRejectedException e)
            {
                reason = e.Message;
            }
        }
        return new Support([], [], $"ONNX Runtime does not load it with float16: {Short(reason ?? "it reads no floats")}");
    }

    private Model Alone(Node node, int[] halves)
    {
        Loaded++;
        var graph = new Graph("alone");
        var values = new Dictionary<(Value, bool), Value>();
        Value? Copy(int index)
        {
            if (node.Input(index) is not { } original)
                return null;
            var isHalf = halves.Contains(index);
            if (values.TryGetValue((original, isHalf), out var copy))
                return copy;
            var name = $"in{index}";
            // Constants that are not floats say what the operator does (axes, shapes), so they are needed.
            if (original is { IsConstant: true, Constant: { } content } && content.Count <= 1024)
            {
                copy = graph.AddInitializer(name, isHalf ? HalfTensor.Of(content) : content);
            }
            else
            {
                copy = graph.AddInput(name);
                copy.Type = isHalf ? ElementType.Float16 : typeOf(original);
                copy.Shape = original.Shape ?? (original.Constant is { } constant ? [.. constant.Shape.Select(d => (Dimension)d)] : null);
            }
            return values[(original, isHalf)] = copy;
        }
        Value?[] inputs = [.. Enumerable.Range(0, node.Inputs.Count).Select(Copy)];
        var alone = graph.AddNode(node.OpType, inputs, [.. node.Outputs.Select((o, i) => o is null ? null : OutputName(i))], node.Domain);
        foreach (var (name, value) in node.Attributes)
            alone.Set(name, value);
        foreach (var output in alone.Outputs.OfType<Value>())
            graph.AddOutput(output);
        return new Model(graph, model.Opsets, model.IrVersion);
    }

    private static string OutputName(int index) => $"out{index}";

    private static string Short(string text)
    {
        var line = text.ReplaceLineEndings(" ");
        return line.Length > 200 ? line[..200] + "..." : line;
    }

    /// <summary>How an operator can take float16.</summary>
    /// <param name="Inputs">Places that take it.</param>
    /// <param name="Outputs">Type of each output then.</param>
    /// <param name="WhyNot">Why it cannot; null when it can.</param>
    internal sealed record Support(IReadOnlySet<int> Inputs, IReadOnlyList<ElementType> Outputs, string? WhyNot)
    {
        public Support(int[] inputs, ElementType[] outputs, string? whyNot)
            : this(inputs.ToHashSet(), outputs, whyNot)
        {
        }
    }
}
