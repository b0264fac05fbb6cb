using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Documents;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>What a <c>dataset.yaml</c> says, not yet held against any file.</summary>
internal sealed record DatasetDefinition
{
    private const int LargestWindow = 1 << 20;

    /// <summary>Inputs by name; null when the files beside are meant.</summary>
    public IReadOnlyList<InputDefinition>? Inputs { get; init; }

    public ArrayReference? Labels { get; init; }

    public DatasetWindow? Window { get; init; }

    public int? Limit { get; init; }

    public static DatasetDefinition Read(string path)
    {
        var label = $"'{Path.GetFileName(path)}'";
        if (new FileInfo(path).Length > DocumentReader.MaximumBytes)
            throw DatasetErrors.Invalid($"{label} is larger than {DocumentReader.MaximumBytes} bytes, the most that is read.");
        try
        {
            return Read(DocumentReader.Read(File.ReadAllText(path)), label);
        }
        catch (DocumentException e)
        {
            throw DatasetErrors.Invalid($"Cannot read {label}: {e.Message}", e);
        }
    }

    private static DatasetDefinition Read(JsonNode? document, string label)
    {
        var reader = new Reader(label);
        var definition = reader.Definition(document);
        return reader.Violations.Count == 0 ? definition : throw DatasetErrors.Invalid(string.Join('\n', reader.Violations));
    }

    private sealed class Reader(string label)
    {
        public List<string> Violations { get; } = [];

        public DatasetDefinition Definition(JsonNode? document)
        {
            if (Mapping(document, "the document", ["inputs", "labels", "window", "limit"]) is not { } root)
                return new DatasetDefinition();
            return new DatasetDefinition
            {
                Inputs = root["inputs"] is { } inputs ? Inputs(inputs) : null,
                Labels = root["labels"] is { } labels ? Reference(labels, "labels", []) : null,
                Window = root["window"] is { } window ? Window(window) : null,
                Limit = Whole(root["limit"], "limit", 1, int.MaxValue),
            };
        }

        private List<InputDefinition> Inputs(JsonNode node)
        {
            if (node is not JsonObject { Count: > 0 } inputs)
            {
                Expect("inputs", node, "a mapping from the names of the network's inputs to files");
                return [];
            }
            return [.. inputs.Select(i => Input(i.Key, i.Value))];
        }

        private InputDefinition Input(string name, JsonNode? node)
        {
            var field = $"inputs.{name}";
            if (node is JsonObject members)
            {
                var definition = new InputDefinition
                {
                    Name = name,
                    Data = Reference(node, field, ["layout", "scale", "offset", "mean", "std"]),
                    Layout = Layout(members["layout"], field),
                    Scale = Number(members["scale"], $"{field}.scale"),
                    Offset = Number(members["offset"], $"{field}.offset"),
                    Mean = Numbers(members["mean"], $"{field}.mean"),
                    Std = Numbers(members["std"], $"{field}.std"),
                };
                if (definition.Mean is not null != definition.Std is not null)
                    Violations.Add($"{label}: {field} has only one of mean and std; give both.");
                if (definition.Mean is { } mean && definition.Std is { } std && mean.Count != std.Count)
                    Violations.Add($"{label}: {field} has {mean.Count} means and {std.Count} standard deviations; give one of each per channel.");
                if (definition.Mean is not null && definition.Layout == SampleLayout.AsIs && definition.Mean.Count > 1)
                    Violations.Add($"{label}: {field} has a mean per channel; say in layout where the channels lie: NHWC->NCHW, NCHW->NHWC, NHWC or NCHW.");
                if (definition.Scale is 0 || definition.Std?.Any(s => s <= 0) == true)
                    Violations.Add($"{label}: {field} has a scale of 0 or a standard deviation that is not positive; every value would be lost.");
                return definition;
            }
            return new InputDefinition { Name = name, Data = node is null ? new ArrayReference(null, null) : Reference(node, field, []) };
        }

        private ArrayReference Reference(JsonNode node, string field, string[] further)
        {
            if (node is JsonValue)
                return new ArrayReference(Text(node, field), null);
            return Mapping(node, field, ["file", "array", .. further]) is { } members
                ? new ArrayReference(members["file"] is { } file ? Text(file, $"{field}.file") : null, members["array"] is { } array ? Text(array, $"{field}.array") : null)
                : new ArrayReference(null, null);
        }

        private DatasetWindow? Window(JsonNode node)
        {
            if (Mapping(node, "window", ["length", "step", "flatten", "reduce"]) is not { } members)
                return null;
            if (members["length"] is null)
                Violations.Add($"{label}: window.length is missing; give the entries of the first axis that make one network input.");
            var reduce = members["reduce"] is { } r ? Text(r, "window.reduce") : "mean";
            if (reduce is not (null or "mean" or "max"))
                Expect("window.reduce", members["reduce"], "mean or max");
            if (members["flatten"] is { } f && f.GetValueKind() is not (JsonValueKind.True or JsonValueKind.False))
                Expect("window.flatten", f, "true or false");
            return new DatasetWindow
            {
                Length = Whole(members["length"], "window.length", 1, LargestWindow) ?? 1,
                Step = Whole(members["step"], "window.step", 1, LargestWindow) ?? 1,
                Flatten = members["flatten"]?.GetValueKind() == JsonValueKind.True,
                Reduce = reduce == "max" ? WindowReduce.Max : WindowReduce.Mean,
            };
        }

        private SampleLayout Layout(JsonNode? node, string field)
        {
            switch (node is null ? "as-is" : Text(node, $"{field}.layout"))
            {
                case "as-is":
                case null:
                    return SampleLayout.AsIs;
                case "NHWC":
                    return SampleLayout.Nhwc;
                case "NCHW":
                    return SampleLayout.Nchw;
                case "NHWC->NCHW":
                    return SampleLayout.NhwcToNchw;
                case "NCHW->NHWC":
                    return SampleLayout.NchwToNhwc;
                default:
                    Expect($"{field}.layout", node, "as-is, NHWC->NCHW, NCHW->NHWC, NHWC or NCHW");
                    return SampleLayout.AsIs;
            }
        }

        private JsonObject? Mapping(JsonNode? node, string field, IReadOnlyList<string> known)
        {
            if (node is not JsonObject members)
            {
                Expect(field, node, $"a mapping with {string.Join(", ", known)}");
                return null;
            }
            foreach (var key in members.Select(m => m.Key).Where(k => !known.Contains(k)))
                Violations.Add($"{label}: {field} has the unknown key '{key}'; expected one of {string.Join(", ", known)}.");
            return members;
        }

        private string? Text(JsonNode node, string field)
        {
            if (node.GetValueKind() == JsonValueKind.String)
                return node.GetValue<string>();
            Expect(field, node, "text");
            return null;
        }

        private double? Number(JsonNode? node, string field)
        {
            if (node is null || node.GetValueKind() == JsonValueKind.Number)
                return node?.GetValue<double>();
            Expect(field, node, "a number");
            return null;
        }

        private int? Whole(JsonNode? node, string field, int minimum, int maximum)
        {
            if (node is null)
                return null;
            if (node.GetValueKind() == JsonValueKind.Number && node.GetValue<double>() is var number && number >= minimum && number <= maximum && Math.Truncate(number) == number)
                return (int)number;
            Expect(field, node, $"a whole number from {minimum} to {maximum}");
            return null;
        }

        private double[]? Numbers(JsonNode? node, string field)
        {
            if (node is null)
                return null;
            if (node.GetValueKind() == JsonValueKind.Number)
                return [node.GetValue<double>()];
            if (node is JsonArray { Count: > 0 } list && list.All(i => i?.GetValueKind() == JsonValueKind.Number))
                return [.. list.Select(i => i!.GetValue<double>())];
            Expect(field, node, "a number or a list of numbers");
            return null;
        }

        private void Expect(string field, JsonNode? got, string expected)
        {
            var text = got?.ToJsonString() ?? "null";
            Violations.Add($"{label}: {field} is {(text.Length > 60 ? text[..60] + "..." : text)}, expected {expected}.");
        }
    }
}

/// <summary>Where an array lies; a null file stands for the files beside the yaml.</summary>
internal sealed record ArrayReference(string? File, string? Array);

/// <summary>One input of a <c>dataset.yaml</c>.</summary>
internal sealed record InputDefinition
{
    public required string Name { get; init; }

    public required ArrayReference Data { get; init; }

    public SampleLayout Layout { get; init; }

    public double? Scale { get; init; }

    public double? Offset { get; init; }

    public IReadOnlyList<double>? Mean { get; init; }

    public IReadOnlyList<double>? Std { get; init; }
}

/// <summary>How a stored sample lies, and how it is fed.</summary>
internal enum SampleLayout
{
    AsIs,
    Nhwc,
    Nchw,
    NhwcToNchw,
    NchwToNhwc,
}
