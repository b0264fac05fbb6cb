using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Documents;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>What a <c>dataset.yaml</c> says, not yet held against any file.</summary>
internal sealed record DatasetDefinition
{
    private const int LargestWindow = 1 << 20;
    private const int LargestPicture = 4096;

    /// <summary>Inputs by name; null when the files beside are meant.</summary>
    public IReadOnlyList<InputDefinition>? Inputs { get; init; }

    public ArrayReference? Labels { get; init; }

    /// <summary>Names of the classes in the order of their labels; null when they are not given.</summary>
    public IReadOnlyList<string>? Classes { get; init; }

    public DatasetWindow? Window { get; init; }

    /// <summary>Samples at the start that are left out.</summary>
    public int Skip { get; init; }

    /// <summary>Most samples, counted after those left out.</summary>
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
            if (Mapping(document, "the document", ["inputs", "labels", "classes", "window", "skip", "limit"]) is not { } root)
                return new DatasetDefinition();
            return new DatasetDefinition
            {
                Inputs = root["inputs"] is { } inputs ? Inputs(inputs) : null,
                Labels = root["labels"] is { } labels ? Reference(labels, "labels", []) : null,
                Classes = root["classes"] is { } classes ? Texts(classes, "classes") : null,
                Window = root["window"] is { } window ? Window(window) : null,
                Skip = Whole(root["skip"], "skip", 0, int.MaxValue) ?? 0,
                Limit = Whole(root["limit"], "limit", 1, int.MaxValue),
            };
        }

        private InputDefinition[] Inputs(JsonNode node)
        {
            if (node is not JsonObject { Count: > 0 } inputs)
            {
                Expect("inputs", node, "a mapping from the names of the network's inputs to files");
                return [];
            }
            InputDefinition[] definitions = [.. inputs.Select(i => Input(i.Key, i.Value))];
            if (definitions.All(d => d.Data is null && d.Pictures is null))
                Violations.Add($"{label}: inputs names no file, so nothing says how many samples there are; only some of a network's inputs can have a value or come from an output.");
            return definitions;
        }

        private InputDefinition Input(string name, JsonNode? node)
        {
            var field = $"inputs.{name}";
            if (node is JsonObject members)
            {
                if (members.ContainsKey("value") || members.ContainsKey("from-output"))
                    return Made(name, members, field);
                var isPictures = members.ContainsKey("pictures");
                var definition = new InputDefinition
                {
                    Name = name,
                    Data = isPictures ? null : Reference(node, field, ["pictures", "layout", "scale", "offset", "mean", "std", "value", "from-output"]),
                    Pictures = isPictures ? Pictures(members, field) : null,
                    Layout = isPictures && members["layout"] is null ? SampleLayout.Nhwc : Layout(members["layout"], field),
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

        private PictureDefinition? Pictures(JsonObject members, string field)
        {
            Mapping(members, field, ["pictures", "width", "height", "channels", "fit", "layout", "scale", "offset", "mean", "std"]);
            if (members["layout"] is { } layout && Layout(layout, field) is not (SampleLayout.Nhwc or SampleLayout.NhwcToNchw))
                Expect($"{field}.layout", layout, "NHWC or NHWC->NCHW, since the channels of a pixel lie together in a picture");
            foreach (var side in (string[])["width", "height"])
            {
                if (members[side] is null)
                    Violations.Add($"{label}: {field}.{side} is missing; give the {side} in pixels that the network takes.");
            }
            var folder = members["pictures"] is { } given ? Text(given, $"{field}.pictures") : null;
            if (folder is null or "" || folder.Contains('\0'))
                Expect($"{field}.pictures", members["pictures"], "the path of a folder");
            var channels = members["channels"] is { } c ? Text(c, $"{field}.channels") : "RGB";
            if (channels is not (null or "RGB" or "BGR" or "grey"))
                Expect($"{field}.channels", members["channels"], "RGB, BGR or grey");
            var fit = members["fit"] is { } f ? Text(f, $"{field}.fit") : "stretch";
            if (fit is not (null or "stretch" or "crop"))
                Expect($"{field}.fit", members["fit"], "stretch or crop");
            return new PictureDefinition(
                folder ?? "",
                Whole(members["width"], $"{field}.width", 1, LargestPicture) ?? 1,
                Whole(members["height"], $"{field}.height", 1, LargestPicture) ?? 1,
                channels switch { "BGR" => PictureChannels.Bgr, "grey" => PictureChannels.Grey, _ => PictureChannels.Rgb },
                fit == "crop");
        }

        /// <summary>An input that no file feeds.</summary>
        private InputDefinition Made(string name, JsonObject members, string field)
        {
            foreach (var key in members.Select(m => m.Key).Where(k => k is not ("value" or "from-output")))
                Violations.Add($"{label}: {field} has '{key}' beside {(members.ContainsKey("from-output") ? "from-output" : "value")}; such an input is read from no file, and only value and from-output go together.");
            string? output = null;
            if (members.TryGetPropertyValue("from-output", out var given))
            {
                output = given is null ? null : Text(given, $"{field}.from-output");
                if (given is null || output is "")
                    Expect($"{field}.from-output", given, "the name of an output");
            }
            if (members.TryGetPropertyValue("value", out var value) && value is null)
                Expect($"{field}.value", value, "a number");
            return new InputDefinition { Name = name, Value = Number(value, $"{field}.value") ?? 0, FromOutput = output };
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
            if (Mapping(node, "window", ["length", "step", "pad-before", "flatten", "reduce"]) is not { } members)
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
                PadBefore = Whole(members["pad-before"], "window.pad-before", 0, LargestWindow) ?? 0,
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

        private string[]? Texts(JsonNode node, string field)
        {
            if (node is JsonArray { Count: > 0 } list && list.All(i => i?.GetValueKind() == JsonValueKind.String))
                return [.. list.Select(i => i!.GetValue<string>())];
            Expect(field, node, "a list of texts");
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

    /// <summary>The array it is read from; null when no file feeds it.</summary>
    public ArrayReference? Data { get; init; }

    /// <summary>What every element is when no file feeds it; before anything is carried.</summary>
    public double Value { get; init; }

    /// <summary>The output whose last content it takes, within a sample; null when it takes none.</summary>
    public string? FromOutput { get; init; }

    /// <summary>The folder of pictures that feeds it; null for every other input.</summary>
    public PictureDefinition? Pictures { get; init; }

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
