using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Documents;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>Makes a plan out of the arguments of <c>run</c>; collects every violation that can be seen without the server.</summary>
internal static class RunPlanReader
{
    public static (RunPlan? Plan, IReadOnlyList<Violation> Violations) Read(
        string model, string pipeline, IReadOnlyList<string> datasets, IReadOnlyList<string> settings, bool cache, string output)
    {
        var violations = new List<Violation>();
        if (!File.Exists(model))
            violations.Add(Violation("MODEL", "file-not-found", $"There is no model '{model}'. Expected an ONNX file."));
        else if (Path.GetFullPath(Path.Combine(output, Path.GetFileName(model))) == Path.GetFullPath(model))
            violations.Add(Violation("--out", "output-is-input", $"The folder '{output}' holds the model itself, which a result of the same name would replace. Name another folder."));
        if (File.Exists(output))
            violations.Add(Violation("--out", "output-is-file", $"'{output}' is a file. Expected a folder, which may not exist yet."));
        var document = ReadDocument(pipeline, violations);
        var paths = ReadDatasets(datasets, violations);
        if (document is not null)
        {
            foreach (var setting in settings)
                Apply(setting, document, violations);
        }
        return document is null
            ? (null, violations)
            : (new RunPlan { ModelPath = model, Document = document, Datasets = paths, Cache = cache, OutputFolder = output }, violations);
    }

    /// <summary>Datasets that are given and that a document, which is right otherwise, does not name.</summary>
    public static IReadOnlyList<Violation> Unused(RunPlan plan)
    {
        var used = new SortedSet<string>(StringComparer.Ordinal);
        if (Text((plan.Document["evaluate"] as JsonObject)?["dataset"]) is { } measured)
            used.Add(measured);
        foreach (var roles in (plan.Document["steps"] as JsonArray ?? []).Select(s => (s as JsonObject)?["datasets"]).OfType<JsonObject>())
            used.UnionWith(roles.Select(r => Text(r.Value)).OfType<string>());
        return
        [
            .. plan.Datasets.Keys.Where(n => !used.Contains(n)).Select(n => Violation(
                "--dataset", "unused-dataset", $"The pipeline names no dataset '{n}'. It names {(used.Count == 0 ? "none" : string.Join(", ", used))}.")),
        ];
    }

    /// <summary>The text at a JSON pointer of a document; null when there is none.</summary>
    public static string? TextAt(JsonObject document, string pointer)
    {
        JsonNode? node = document;
        foreach (var part in pointer.Split('/').Skip(1).Select(p => p.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal)))
        {
            node = node switch
            {
                JsonObject members => members[part],
                JsonArray items when int.TryParse(part, out var index) && index >= 0 && index < items.Count => items[index],
                _ => null,
            };
        }
        return Text(node);
    }

    private static string? Text(JsonNode? node) => node is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    private static JsonObject? ReadDocument(string path, List<Violation> violations)
    {
        string text;
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > DocumentReader.MaximumBytes } large)
            {
                violations.Add(Violation("--pipeline", "document-too-large", $"The pipeline '{path}' has {large.Length} bytes. Expected at most {DocumentReader.MaximumBytes}."));
                return null;
            }
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            violations.Add(Violation("--pipeline", "file-not-found", $"Cannot read the pipeline '{path}': {e.Message}"));
            return null;
        }
        try
        {
            switch (DocumentReader.Read(text))
            {
                case JsonObject document:
                    return document;
                case var other:
                    violations.Add(Violation("", "wrong-type", $"The pipeline '{path}' is {Kind(other)}. Expected a mapping with 'steps'."));
                    return null;
            }
        }
        catch (DocumentException e)
        {
            violations.Add(Violation("", e.Code, $"The pipeline '{path}' cannot be read: {e.Message}"));
            return null;
        }
    }

    private static string Kind(JsonNode? node) => node?.GetValueKind() switch
    {
        null or JsonValueKind.Null => "null",
        JsonValueKind.Array => "a list",
        _ => "a single value",
    };

    private static Dictionary<string, string> ReadDatasets(IReadOnlyList<string> datasets, List<Violation> violations)
    {
        var paths = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var text in datasets)
        {
            var at = text.IndexOf('=', StringComparison.Ordinal);
            if (at <= 0 || at == text.Length - 1)
                violations.Add(Violation("--dataset", "bad-argument", $"'{text}' is not NAME=PATH."));
            else if (!Path.Exists(text[(at + 1)..]))
                violations.Add(Violation("--dataset", "file-not-found", $"There is no '{text[(at + 1)..]}' for the dataset '{text[..at]}'. Expected a folder, an .npz or a .yaml."));
            else if (!paths.TryAdd(text[..at], text[(at + 1)..]))
                violations.Add(Violation("--dataset", "repeated-dataset", $"The dataset '{text[..at]}' is given twice."));
        }
        return paths;
    }

    // STEP.OPTION=V: STEP is a number from 1 or a transformer's name. V is JSON where it can be read as such, else text.
    private static void Apply(string setting, JsonObject document, List<Violation> violations)
    {
        var equals = setting.IndexOf('=', StringComparison.Ordinal);
        var dot = equals <= 0 ? -1 : setting.LastIndexOf('.', equals - 1);
        if (dot <= 0 || dot == equals - 1)
        {
            violations.Add(Violation("--set", "bad-argument", $"'{setting}' is not STEP.OPTION=VALUE, e.g. compiler/quantize.calibration=mse or 2.calibration=mse."));
            return;
        }
        var (name, option, value) = (setting[..dot], setting[(dot + 1)..equals], setting[(equals + 1)..]);
        var steps = document["steps"] as JsonArray ?? [];
        var matches = int.TryParse(name, out var number)
            ? Enumerable.Range(0, steps.Count).Where(i => i == number - 1).ToList()
            : [.. Enumerable.Range(0, steps.Count).Where(i => Text((steps[i] as JsonObject)?["uses"]) == name)];
        if (matches.Count != 1 || steps[matches[0]] is not JsonObject step)
        {
            violations.Add(Violation("--set", matches.Count == 0 ? "unknown-step" : "ambiguous-step", matches.Count == 0
                ? $"'{setting}': the pipeline has no step '{name}'. It has {steps.Count}: {string.Join(", ", steps.Select((s, i) => $"{i + 1} {Text((s as JsonObject)?["uses"])}"))}."
                : $"'{setting}': {matches.Count} steps use '{name}'. Say which by number: {string.Join(", ", matches.Select(i => i + 1))}."));
            return;
        }
        if (step["with"] is not JsonObject with)
            step["with"] = with = [];
        with[option] = ReadValue(value);
    }

    private static JsonNode? ReadValue(string text)
    {
        try
        {
            return JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            return JsonValue.Create(text);
        }
    }

    private static Violation Violation(string field, string code, string message) => new() { Field = field, Code = code, Message = message };
}
