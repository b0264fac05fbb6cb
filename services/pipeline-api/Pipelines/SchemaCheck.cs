using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using NJsonSchema;
using NJsonSchema.Validation;
using TinyMLaaS.PipelineApi.Requests;

namespace TinyMLaaS.PipelineApi.Pipelines;

/// <summary>What a value breaks of a JSON schema, with the place as a path and the message in words.</summary>
internal sealed record SchemaViolation(IReadOnlyList<string> Path, ValidationErrorKind Kind, string Message);

/// <summary>Validates JSON values by NJsonSchema.</summary>
internal static class SchemaCheck
{
    /// <summary>Reads a schema. References to other documents are refused: a worker's schema must not make this service fetch anything.</summary>
    /// <exception cref="JsonException">The text is no schema.</exception>
    public static JsonSchema Read(string text)
    {
        if (text.Contains("\"$ref\"", StringComparison.Ordinal))
            throw new JsonException("The schema refers to another one ($ref), which is not read.");
        try
        {
            return JsonSchema.FromJsonAsync(text).GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is InvalidOperationException or Newtonsoft.Json.JsonException or ArgumentException)
        {
            throw new JsonException($"The schema cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Everything that <paramref name="value"/> breaks, at most one violation for each place and rule.</summary>
    public static IReadOnlyList<SchemaViolation> Validate(JsonSchema schema, JsonNode? value)
    {
        var violations = Flatten(schema.Validate(value?.ToJsonString() ?? "null"))
            .Select(error => (Path: Resolve(value, error.Path), Error: error))
            .Select(e => (e.Path, e.Error, Got: At(value, e.Path)))
            // 3.0 is a whole number in JSON; the validator goes by the notation.
            .Where(e => !(e.Error.Kind == ValidationErrorKind.IntegerExpected && Values.Whole(e.Got) is not null))
            .Select(e => new SchemaViolation(e.Path, e.Error.Kind, Say(e.Path, e.Error, e.Got)))
            .DistinctBy(v => (Pointers.Of(v.Path), v.Kind))
            .ToArray();
        // A value of the wrong type breaks other rules as well, and so does all that it lacks; only its type is worth saying.
        var wrongTypes = violations.Where(v => IsWrongType(v.Kind)).Select(v => Pointers.Of(v.Path) + "/").ToArray();
        return [.. violations.Where(v => IsWrongType(v.Kind) || !wrongTypes.Any(wrong => (Pointers.Of(v.Path) + "/").StartsWith(wrong, StringComparison.Ordinal)))];
    }

    public static bool IsWrongType(ValidationErrorKind kind) => kind
        is ValidationErrorKind.StringExpected or ValidationErrorKind.NumberExpected or ValidationErrorKind.IntegerExpected or ValidationErrorKind.BooleanExpected
        or ValidationErrorKind.ObjectExpected or ValidationErrorKind.ArrayExpected or ValidationErrorKind.NullExpected or ValidationErrorKind.NoTypeValidates;

    private static IEnumerable<ValidationError> Flatten(IEnumerable<ValidationError> errors) => errors.SelectMany(error => error switch
    {
        // Each type of a union fails in its own way; together they are one wrong type.
        ChildSchemaValidationError { Kind: not ValidationErrorKind.NoTypeValidates } group => Flatten(group.Errors.Values.SelectMany(e => e)),
        _ => [error],
    });

    private static string Say(IReadOnlyList<string> path, ValidationError error, JsonNode? got)
    {
        var name = path.Count == 0 ? "The document" : int.TryParse(path[^1], out var index) ? $"Entry {index + 1} of '{(path.Count > 1 ? path[^2] : "")}'" : $"'{Values.Shortened(path[^1])}'";
        var schema = error.Schema;
        return error.Kind switch
        {
            ValidationErrorKind.PropertyRequired => $"{name} is missing. Expected {Expected(schema.ActualProperties.TryGetValue(path[^1], out var missing) ? missing : schema)}.",
            ValidationErrorKind.NoAdditionalPropertiesAllowed => Unknown(path[^1], [.. schema.ActualProperties.Keys]),
            _ => $"{name} is {Values.Describe(got)}. Expected {Expected(schema)}.",
        };
    }

    private static string Unknown(string name, IReadOnlyList<string> known) =>
        $"There is no '{Values.Shortened(name)}' here. " + (known.Count == 0
            ? "Expected none."
            : (Values.Nearest(name, known) is { } nearest ? $"Did you mean '{nearest}'? " : "") + $"Expected {string.Join(", ", known.Select(k => $"'{k}'"))}.");

    private static string Expected(JsonSchema schema)
    {
        if (schema.IsEnumeration)
            return "one of " + string.Join(", ", schema.Enumeration.Select(e => e is string text ? $"'{text}'" : e?.ToString() ?? "null"));
        if (schema.Pattern is not null && schema.Description is { } description)
            return description;
        var types = new List<string>();
        if (schema.Type.HasFlag(JsonObjectType.Object))
            types.Add("a mapping");
        if (schema.Type.HasFlag(JsonObjectType.Array))
            types.Add("a list" + Between(schema.MinItems, schema.MaxItems == 0 ? null : schema.MaxItems, " of ", " entries"));
        if (schema.Type.HasFlag(JsonObjectType.String))
            types.Add(schema.MaxLength is { } length ? $"text of at most {length} characters" : "text");
        if (schema.Type.HasFlag(JsonObjectType.Boolean))
            types.Add("true or false");
        if (schema.Type.HasFlag(JsonObjectType.Integer))
            types.Add("a whole number" + Range(schema));
        if (schema.Type.HasFlag(JsonObjectType.Number))
            types.Add("a number" + Range(schema));
        if (schema.Type.HasFlag(JsonObjectType.Null))
            types.Add("null");
        return types.Count == 0 ? "another value" : string.Join(" or ", types);
    }

    private static string Range(JsonSchema schema)
    {
        var from = schema.Minimum is { } minimum ? $" from {Text(minimum)}" : schema.ExclusiveMinimum is { } above ? $" above {Text(above)}" : "";
        var to = schema.Maximum is { } maximum ? $" to {Text(maximum)}" : schema.ExclusiveMaximum is { } below ? $" below {Text(below)}" : "";
        return from + to;
    }

    private static string Between(int from, int? to, string before, string after) =>
        (from, to) switch
        {
            (0, null) => "",
            (_, null) => $"{before}at least {from}{after}",
            _ => $"{before}{from} to {to}{after}",
        };

    private static string Text(decimal number) => number.ToString("0.#############################", CultureInfo.InvariantCulture);

    // The validator names a place as text, "#/steps[0].uses", in which a key with a dot or bracket cannot be told from two: the value itself decides.
    private static List<string> Resolve(JsonNode? value, string? place)
    {
        var path = new List<string>();
        var rest = place is null ? "" : place.StartsWith("#/", StringComparison.Ordinal) ? place[2..] : place.TrimStart('#');
        while (rest.Length > 0)
        {
            if (value is JsonArray items && rest[0] == '[' && rest.IndexOf(']', StringComparison.Ordinal) is var close and > 0)
            {
                path.Add(rest[1..close]);
                value = int.TryParse(rest.AsSpan(1, close - 1), out var index) && index < items.Count ? items[index] : null;
                rest = rest[(close + 1)..];
                continue;
            }
            if (path.Count > 0 && rest[0] == '.')
                rest = rest[1..];
            var key = value is JsonObject members
                ? members.Select(m => m.Key)
                    .Where(k => rest.StartsWith(k, StringComparison.Ordinal) && (rest.Length == k.Length || rest[k.Length] is '.' or '['))
                    .MaxBy(k => k.Length)
                : null;
            // What is missing is not in the value: the rest is its name.
            path.Add(key ?? rest);
            value = key is null ? null : value![key];
            rest = key is null ? "" : rest[key.Length..];
        }
        return path;
    }

    private static JsonNode? At(JsonNode? value, IReadOnlyList<string> path)
    {
        foreach (var part in path)
        {
            value = value switch
            {
                JsonObject members => members.TryGetPropertyValue(part, out var member) ? member : null,
                JsonArray items => int.TryParse(part, out var index) && index < items.Count ? items[index] : null,
                _ => null,
            };
        }
        return value;
    }
}
