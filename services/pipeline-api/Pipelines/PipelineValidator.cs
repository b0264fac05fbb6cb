using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NJsonSchema;
using NJsonSchema.Validation;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Transformers;

namespace TinyMLaaS.PipelineApi.Pipelines;

/// <summary>
/// Says everything that is wrong with a pipeline document before anything runs. One mistake is one violation: a value of the wrong
/// type is not also unknown, nothing is said of the options and datasets of an unknown transformer, and the step after it is not held
/// against an output that nobody knows. What is missing is named by the place where it should stand.
/// </summary>
/// <remarks>
/// Codes. Shape, by the published schema: <c>wrong-type</c>, <c>missing-field</c>, <c>unknown-field</c>, <c>invalid-name</c>,
/// <c>no-steps</c>, <c>too-many-steps</c>, <c>unknown-metric</c>, <c>invalid-placement</c>, <c>too-many-constraints</c>, <c>invalid-duration</c>,
/// <c>out-of-range</c> (a duration or a number of attempts), <c>invalid-code</c>, <c>too-many-codes</c>, <c>unknown-policy</c>.
/// Size: <c>document-too-large</c>, <c>document-too-deep</c>. Meaning, by the catalogue and the datasets: <c>unknown-transformer</c>,
/// <c>type-mismatch</c>, <c>unknown-dataset-role</c>, <c>missing-dataset</c>, <c>unknown-dataset</c>. Options, by the transformer's own
/// schema: <c>unknown-option</c>, <c>missing-option</c>, <c>wrong-type</c>, <c>out-of-range</c>, <c>invalid-option</c> (not one of the values that it may have).
/// </remarks>
internal sealed partial class PipelineValidator
{
    /// <summary>Largest document, as compact JSON in UTF-8.</summary>
    public const int MaxBytes = 256 * 1024;

    /// <summary>Most mappings and lists around a value; the deepest that a transformer's options need is 6.</summary>
    public const int MaxDepth = 32;

    private const string Evaluator = "compiler/evaluate";

    private static readonly JsonSchema Shape = SchemaCheck.Read(PipelineSchema.Text);

    // Few and small: one for each version of a transformer that a worker announced while this process runs.
    private readonly ConcurrentDictionary<string, JsonSchema> _optionSchemas = new(StringComparer.Ordinal);

    /// <summary>All violations of a document; empty when it can run.</summary>
    /// <param name="document">As it was sent, with a run's own options in it.</param>
    /// <param name="catalogue">What there is to use.</param>
    /// <param name="input">Kind of artifact that the first step gets.</param>
    /// <param name="isDataset">Whether a dataset of a name exists.</param>
    public IReadOnlyList<Violation> Validate(JsonNode? document, Catalogue catalogue, string input, Func<string, bool> isDataset)
    {
        if (!IsBounded(document, MaxDepth))
            return [new Violation { Field = "", Code = "document-too-deep", Message = $"More than {MaxDepth} mappings and lists are nested in the pipeline." }];
        if (document is not null && Encoding.UTF8.GetByteCount(document.ToJsonString()) is > MaxBytes and var size)
            return [new Violation { Field = "", Code = "document-too-large", Message = $"The pipeline has {size} bytes as JSON. Expected at most {MaxBytes}." }];

        var violations = SchemaCheck.Validate(Shape, document).Select(v => Violation(v.Path, CodeOfShape(v), v.Message)).ToList();
        if (document is not JsonObject fields)
            return violations;
        if (fields["evaluate"] is JsonObject evaluate)
        {
            if (Text(evaluate["dataset"]) is { } measured && !isDataset(measured))
                violations.Add(UnknownDataset(["evaluate", "dataset"], measured));
            if (!catalogue.Has(Evaluator))
                violations.Add(Violation(["evaluate"], "unknown-transformer", $"Nothing can be measured: no worker offers '{Evaluator}'. {Workers(catalogue)}"));
        }
        CheckDurations(fields["timeouts"], ["timeouts"], violations);
        if (fields["steps"] is JsonArray { Count: > 0 and <= 64 } steps)
        {
            string? kind = input;
            for (var i = 0; i < steps.Count; i++)
            {
                string[] place = ["steps", i.ToString(CultureInfo.InvariantCulture)];
                CheckDurations(steps[i] is JsonObject timed ? timed["timeouts"] : null, [.. place, "timeouts"], violations);
                CheckDurations(steps[i] is JsonObject tried ? tried["retry"] : null, [.. place, "retry"], violations);
                kind = steps[i] is JsonObject step ? CheckStep(step, i, kind, catalogue, isDataset, violations) : null;
            }
        }
        return violations;
    }

    /// <summary>Durations that are written as such and are too short or too long for what they bound.</summary>
    private static void CheckDurations(JsonNode? bounds, string[] place, List<Violation> violations)
    {
        if (bounds is not JsonObject named)
            return;
        foreach (var (name, value) in named)
        {
            var (least, most) = name switch
            {
                "heartbeat" => (TimeSpan.FromSeconds(5), TimeSpan.FromHours(1)),
                "backoff" => (TimeSpan.FromSeconds(1), TimeSpan.FromHours(1)),
                _ => (TimeSpan.FromSeconds(1), Durations.Longest),
            };
            // What is no duration at all breaks the schema.
            if (Text(value) is not { } text || !Duration().IsMatch(text))
                continue;
            if (Durations.Read(text) is not { } duration || duration < least || duration > most)
                violations.Add(Violation([.. place, name], "out-of-range", $"'{name}' is {text}. Expected a duration from {Durations.Write(least)} to {Durations.Write(most)}."));
        }
    }

    [GeneratedRegex("^[1-9][0-9]{0,7}[smhd]\\z", RegexOptions.CultureInvariant)]
    private static partial Regex Duration();

    private string? CheckStep(JsonObject step, int index, string? kind, Catalogue catalogue, Func<string, bool> isDataset, List<Violation> violations)
    {
        string[] place = ["steps", index.ToString(CultureInfo.InvariantCulture)];
        if (Text(step["uses"]) is not { } uses)
            return null;
        if (catalogue.Find(uses) is not { } transformer)
        {
            violations.Add(Violation([.. place, "uses"], "unknown-transformer", UnknownTransformer(uses, catalogue)));
            return null;
        }
        if (kind is not null && !transformer.Accepts.Contains(kind))
        {
            violations.Add(Violation([.. place, "uses"], "type-mismatch",
                $"'{uses}' takes {string.Join(" or ", transformer.Accepts)}, but {(index == 0 ? "the model" : $"step {index}")} is of kind {kind}. Change the order, or leave one of them out."));
        }
        if (step["with"] is JsonObject with)
            violations.AddRange(CheckOptions(transformer, with, place));
        var datasets = step["datasets"];
        if (datasets is null && !step.ContainsKey("datasets"))
            datasets = new JsonObject();
        if (datasets is JsonObject roles)
            CheckDatasets(transformer, roles, [.. place, "datasets"], isDataset, violations);
        return transformer.Produces;
    }

    private IEnumerable<Violation> CheckOptions(TransformerDescriptor transformer, JsonObject with, string[] place) =>
        SchemaCheck.Validate(_optionSchemas.GetOrAdd(transformer.Options.GetRawText(), SchemaCheck.Read), with)
            .Select(v => Violation([.. place, "with", .. v.Path], CodeOfOption(v), $"Option of '{transformer.Name}': {v.Message}"));

    private static void CheckDatasets(TransformerDescriptor transformer, JsonObject roles, string[] place, Func<string, bool> isDataset, List<Violation> violations)
    {
        foreach (var (role, value) in roles)
        {
            if (!transformer.Datasets.ContainsKey(role))
            {
                violations.Add(Violation([.. place, role], "unknown-dataset-role",
                    $"'{transformer.Name}' uses no dataset to '{Values.Shortened(role)}'. {(transformer.Datasets.Count == 0 ? "It uses none." : $"Expected {string.Join(", ", transformer.Datasets.Keys.Order(StringComparer.Ordinal).Select(r => $"'{r}'"))}.")}"));
            }
            else if (Text(value) is { } name && !isDataset(name))
            {
                violations.Add(UnknownDataset([.. place, role], name));
            }
        }
        foreach (var role in transformer.Datasets.Where(d => d.Value && !roles.ContainsKey(d.Key)).Select(d => d.Key).Order(StringComparer.Ordinal))
        {
            violations.Add(Violation([.. place, role], "missing-dataset",
                $"'{transformer.Name}' needs a dataset to {role}. Add datasets: {{ {role}: NAME }} to the step."));
        }
    }

    private static string UnknownTransformer(string uses, Catalogue catalogue)
    {
        var worker = Catalogue.WorkerOf(uses);
        var offered = catalogue.Listed.Where(name => Catalogue.WorkerOf(name) == worker).ToArray();
        return $"There is no transformer '{Values.Shortened(uses)}'. "
            + (Values.Nearest(uses, catalogue.Listed) is { } nearest ? $"Did you mean '{nearest}'? " : "")
            + (offered.Length > 0 ? $"The worker '{worker}' offers {string.Join(", ", offered)}." : $"No worker '{Values.Shortened(worker)}' offers any. {Workers(catalogue)}");
    }

    private static string Workers(Catalogue catalogue) =>
        catalogue.Workers.Count == 0 ? "No worker has announced itself yet." : $"Known workers: {string.Join(", ", catalogue.Workers)}.";

    private static Violation UnknownDataset(IReadOnlyList<string> path, string name) =>
        Violation(path, "unknown-dataset", $"There is no dataset '{Values.Shortened(name)}'. Register it with POST /v1/datasets, or give its artifact in the run's datasets.");

    private static string CodeOfShape(SchemaViolation violation) => violation.Kind switch
    {
        _ when SchemaCheck.IsWrongType(violation.Kind) => "wrong-type",
        ValidationErrorKind.PropertyRequired => "missing-field",
        ValidationErrorKind.NoAdditionalPropertiesAllowed => "unknown-field",
        ValidationErrorKind.TooFewItems => "no-steps",
        ValidationErrorKind.TooManyItems => violation.Path is ["steps"] ? "too-many-steps" : violation.Path is [.., "not-on"] ? "too-many-codes" : "too-many-constraints",
        ValidationErrorKind.NotInEnumeration => violation.Path is [.., "on-lease-lost"] ? "unknown-policy" : "unknown-metric",
        ValidationErrorKind.NumberTooBig or ValidationErrorKind.NumberTooSmall => "out-of-range",
        _ when violation.Path is [.., "timeouts", _] or [.., "backoff"] => "invalid-duration",
        _ when violation.Path is [.., "not-on", _] => "invalid-code",
        _ => violation.Path is ["name"] ? "invalid-name" : "invalid-placement",
    };

    private static string CodeOfOption(SchemaViolation violation) => violation.Kind switch
    {
        _ when SchemaCheck.IsWrongType(violation.Kind) => "wrong-type",
        ValidationErrorKind.NoAdditionalPropertiesAllowed => "unknown-option",
        ValidationErrorKind.PropertyRequired => "missing-option",
        ValidationErrorKind.NumberTooBig or ValidationErrorKind.NumberTooSmall => "out-of-range",
        _ => "invalid-option",
    };

    private static Violation Violation(IReadOnlyList<string> path, string code, string message) => new()
    {
        Step = path is ["steps", var index, ..] && int.TryParse(index, NumberStyles.None, CultureInfo.InvariantCulture, out var step) ? step + 1 : null,
        Field = Pointers.Of(path),
        Code = code,
        Message = message,
    };

    private static string? Text(JsonNode? node) => node?.GetValueKind() == JsonValueKind.String ? node.GetValue<string>() : null;

    private static bool IsBounded(JsonNode? node, int depth) => node switch
    {
        JsonObject members => depth > 0 && members.All(m => IsBounded(m.Value, depth - 1)),
        JsonArray items => depth > 0 && items.All(i => IsBounded(i, depth - 1)),
        _ => true,
    };
}
