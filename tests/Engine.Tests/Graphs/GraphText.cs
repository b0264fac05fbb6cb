using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Tests.Graphs;

/// <summary>
/// Graphs as text, so that the input of a test and what it expects read alike. One statement a line:
/// <code>
/// in x: float[N,3,8,8]
/// const w: float[4,3,3,3] ~ 7          (normal values from seed 7)
/// const s: int64[2] = 0 -1
/// y = Conv(x, w) @conv1 pads=[1,1,1,1] auto_pad="NOTSET" epsilon=0.5
/// a, b = Split(y, ) axis=1
/// out a
/// </code>
/// </summary>
internal static partial class GraphText
{
    public static Model Parse(string text, long opset = 13, long ir = 8)
    {
        var graph = new Graph("test");
        var values = new Dictionary<string, Value>();
        foreach (var line in text.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.StartsWith("in ", StringComparison.Ordinal))
            {
                var (name, type, shape) = Declaration(line[3..]);
                var input = graph.AddInput(name);
                input.Type = type;
                input.Shape = shape;
                values[name] = input;
            }
            else if (line.StartsWith("const ", StringComparison.Ordinal))
            {
                var parts = line[6..].Split([" = ", " ~ "], StringSplitOptions.TrimEntries);
                var (name, type, shape) = Declaration(parts[0]);
                var extents = shape.Select(d => d.Value!.Value).ToArray();
                values[name] = graph.AddInitializer(name, line.Contains(" ~ ", StringComparison.Ordinal)
                    ? Tensor.From<float>(extents, Normal(Tensor.CountOf(extents), int.Parse(parts[1], CultureInfo.InvariantCulture)))
                    : Content(type, extents, parts.Length > 1 ? parts[1].Split(' ', StringSplitOptions.RemoveEmptyEntries) : []));
            }
            else if (line.StartsWith("out ", StringComparison.Ordinal))
            {
                graph.AddOutput(values[line[4..]]);
            }
            else
            {
                var match = Statement().Match(line);
                Assert.True(match.Success, line);
                var outputs = match.Groups["outputs"].Value.Split(',', StringSplitOptions.TrimEntries);
                var inputs = match.Groups["inputs"].Value.Split(',', StringSplitOptions.TrimEntries);
                var op = match.Groups["op"].Value.Split(':');
                var node = graph.AddNode(op[^1], inputs is [""] ? [] : [.. inputs.Select(i => i.Length == 0 ? null : values[i])], [.. outputs.Select(o => o.Length == 0 ? null : o)], op.Length > 1 ? op[0] : "", match.Groups["name"].Value);
                foreach (Match attribute in Attribute().Matches(match.Groups["attributes"].Value))
                    node.Set(attribute.Groups[1].Value, Value(attribute.Groups[2].Value));
                foreach (var output in node.Outputs.OfType<Value>())
                    values[output.Name] = output;
            }
        }
        return new Model(graph, new Dictionary<string, long> { [""] = opset }, ir);
    }

    /// <summary>The same form; contents of more than eight elements are left out.</summary>
    public static string Dump(Model model)
    {
        var text = new StringBuilder();
        Dump(model.Graph, text, "");
        return text.ToString();
    }

    private static void Dump(Graph graph, StringBuilder text, string indent)
    {
        foreach (var input in graph.Inputs)
            text.Append(indent).Append(CultureInfo.InvariantCulture, $"in {input}: {Type(input)}\n");
        foreach (var constant in graph.Initializers.OrderBy(i => i.Name, StringComparer.Ordinal))
            text.Append(indent).Append(CultureInfo.InvariantCulture, $"const {constant}: {Type(constant)}{(constant.Constant!.Count <= 8 ? " = " + Content(constant.Constant) : "")}\n");
        foreach (var node in graph.Nodes)
        {
            text.Append(indent).Append(CultureInfo.InvariantCulture, $"{string.Join(", ", node.Outputs)} = {(node.Domain.Length > 0 ? node.Domain + ":" : "")}{node.OpType}({string.Join(", ", node.Inputs)})");
            if (node.Name.Length > 0)
                text.Append(CultureInfo.InvariantCulture, $" @{node.Name}");
            foreach (var (name, value) in node.Attributes.Where(a => a.Value is not AttributeValue.Subgraph))
                text.Append(CultureInfo.InvariantCulture, $" {name}={Show(value)}");
            text.Append('\n');
            foreach (var nested in node.Subgraphs)
                Dump(nested, text, indent + "  ");
        }
        foreach (var output in graph.Outputs)
            text.Append(indent).Append(CultureInfo.InvariantCulture, $"out {output}\n");
    }

    /// <summary>Lines without their indentation, as <see cref="Dump(Model)"/> writes them.</summary>
    public static string Lines(string text) => string.Concat(text.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(l => l + "\n"));

    private static string Type(Value value) => $"{value.Type.ToString().ToLowerInvariant()}{(value.Shape is { } shape ? $"[{string.Join(',', shape)}]" : "")}";

    private static (string Name, ElementType Type, ImmutableArray<Dimension> Shape) Declaration(string text)
    {
        var match = Declared().Match(text);
        Assert.True(match.Success, text);
        return (match.Groups[1].Value, Enum.Parse<ElementType>(match.Groups[2].Value, ignoreCase: true),
            [.. match.Groups[3].Value.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(d => d == "?" ? Dimension.Unknown : long.TryParse(d, CultureInfo.InvariantCulture, out var extent) ? extent : (Dimension)d)]);
    }

    private static Tensor Content(ElementType type, long[] shape, string[] numbers) => type switch
    {
        ElementType.Float => Tensor.From<float>(shape, [.. numbers.Select(n => float.Parse(n, CultureInfo.InvariantCulture))]),
        ElementType.Int64 => Tensor.From<long>(shape, [.. numbers.Select(n => long.Parse(n, CultureInfo.InvariantCulture))]),
        ElementType.Int32 => Tensor.From<int>(shape, [.. numbers.Select(n => int.Parse(n, CultureInfo.InvariantCulture))]),
        ElementType.Int8 => Tensor.From<sbyte>(shape, [.. numbers.Select(n => sbyte.Parse(n, CultureInfo.InvariantCulture))]),
        ElementType.UInt8 => Tensor.From<byte>(shape, [.. numbers.Select(n => byte.Parse(n, CultureInfo.InvariantCulture))]),
        ElementType.Bool => Tensor.From<bool>(shape, [.. numbers.Select(n => n == "1")]),
        _ => throw new NotSupportedException($"{type} has no text form."),
    };

    private static string Content(Tensor tensor) => tensor.Type switch
    {
        ElementType.Float => string.Join(' ', tensor.As<float>().ToArray().Select(v => v.ToString("R", CultureInfo.InvariantCulture))),
        ElementType.Int64 => string.Join(' ', tensor.As<long>().ToArray()),
        ElementType.Int32 => string.Join(' ', tensor.As<int>().ToArray()),
        ElementType.Int8 => string.Join(' ', tensor.As<sbyte>().ToArray()),
        ElementType.UInt8 => string.Join(' ', tensor.As<byte>().ToArray()),
        ElementType.Bool => string.Join(' ', tensor.As<bool>().ToArray().Select(v => v ? 1 : 0)),
        _ => "...",
    };

    private static float[] Normal(long count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, (int)count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }

    private static AttributeValue Value(string text) =>
        text[0] == '"' ? new AttributeValue.Text(text[1..^1])
        : text[0] == '[' && text.Contains('.', StringComparison.Ordinal) ? new AttributeValue.Floats([.. text[1..^1].Split(',').Select(v => float.Parse(v, CultureInfo.InvariantCulture))])
        : text[0] == '[' ? new AttributeValue.Ints([.. text[1..^1].Split(',', StringSplitOptions.RemoveEmptyEntries).Select(v => long.Parse(v, CultureInfo.InvariantCulture))])
        : text.Contains('.', StringComparison.Ordinal) || text.Contains('e', StringComparison.Ordinal) ? new AttributeValue.Float(float.Parse(text, CultureInfo.InvariantCulture))
        : new AttributeValue.Int(long.Parse(text, CultureInfo.InvariantCulture));

    private static string Show(AttributeValue value) => value switch
    {
        AttributeValue.Text a => $"\"{a.Value}\"",
        AttributeValue.Ints a => $"[{string.Join(',', a.Values)}]",
        AttributeValue.Floats a => $"[{string.Join(',', a.Values.Select(Float))}]",
        AttributeValue.Float a => Float(a.Value),
        AttributeValue.Int a => a.Value.ToString(CultureInfo.InvariantCulture),
        AttributeValue.Constant a => $"<{Content(a.Value)}>",
        _ => value.GetType().Name,
    };

    private static string Float(float value) => value.ToString("0.0######", CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^(\w+)\s*:\s*(\w+)\[([^\]]*)\]$")]
    private static partial Regex Declared();

    [GeneratedRegex(@"^(?<outputs>[\w, ]+?) = (?<op>[\w.:]+)\((?<inputs>[^)]*)\)(?: @(?<name>\S+))?(?<attributes>.*)$")]
    private static partial Regex Statement();

    [GeneratedRegex(@"(\w+)=(""[^""]*""|\[[^\]]*\]|\S+)")]
    private static partial Regex Attribute();
}
