using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.PipelineApi.Requests;

/// <summary>Reads the fields of a request one by one and collects all that is wrong with them. A field that is wrong reads as absent.</summary>
internal sealed class RequestFields
{
    private readonly JsonObject _body;
    private readonly HashSet<string> _known = new(StringComparer.Ordinal);

    public RequestFields(JsonNode? body)
    {
        if (body is not JsonObject)
            Refuse("", "wrong-type", $"The body is {Values.Describe(body)}. Expected a mapping.");
        _body = body as JsonObject ?? [];
        BodyIsMapping = body is JsonObject;
    }

    public List<Violation> Violations { get; } = [];

    private bool BodyIsMapping { get; }

    public void Refuse(string pointer, string code, string message) => Violations.Add(new Violation { Field = pointer, Code = code, Message = message });

    /// <summary>Any value; absent is a violation if it is required.</summary>
    public JsonNode? Any(string name, bool required)
    {
        _known.Add(name);
        if (_body.TryGetPropertyValue(name, out var value) && value is not null)
            return value;
        if (required && BodyIsMapping)
            Refuse(Pointers.Of(name), "missing-field", $"The field '{name}' is missing.");
        return null;
    }

    public string? Text(string name, bool required)
    {
        var value = Any(name, required);
        if (value is null || value is JsonValue text && text.GetValueKind() == JsonValueKind.String)
            return value?.GetValue<string>();
        return Wrong<string>(name, value, "text");
    }

    public bool? Flag(string name)
    {
        var value = Any(name, required: false);
        return value?.GetValueKind() switch
        {
            null => null,
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => Wrong<bool?>(name, value, "true or false"),
        };
    }

    public int? Whole(string name, int minimum, int maximum)
    {
        var value = Any(name, required: false);
        if (value is null)
            return null;
        if (value.GetValueKind() != JsonValueKind.Number)
            return Wrong<int?>(name, value, $"a whole number from {minimum} to {maximum}");
        if (Values.Whole(value) is { } whole && whole >= minimum && whole <= maximum)
            return (int)whole;
        Refuse(Pointers.Of(name), "out-of-range", $"The field '{name}' is {Values.Describe(value)}. Expected a whole number from {minimum} to {maximum}.");
        return null;
    }

    public JsonObject? Mapping(string name)
    {
        var value = Any(name, required: false);
        return value as JsonObject ?? (value is null ? null : Wrong<JsonObject>(name, value, "a mapping"));
    }

    /// <summary>A mapping of text to text.</summary>
    public Dictionary<string, string> Texts(string name)
    {
        var texts = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in Mapping(name) ?? [])
        {
            if (value?.GetValueKind() == JsonValueKind.String)
                texts.Add(key, value.GetValue<string>());
            else
                Refuse(Pointers.Of(name, key), "wrong-type", $"The value of '{Values.Shortened(key)}' in '{name}' is {Values.Describe(value)}. Expected text.");
        }
        return texts;
    }

    /// <summary>A list of texts; null when it is absent or wrong.</summary>
    public IReadOnlyList<string>? TextList(string name, bool required)
    {
        var value = Any(name, required);
        if (value is null)
            return null;
        return value is JsonArray items && items.All(i => i?.GetValueKind() == JsonValueKind.String)
            ? [.. items.Select(i => i!.GetValue<string>())]
            : Wrong<IReadOnlyList<string>>(name, value, "a list of texts");
    }

    /// <summary>Refuses every field that was not asked for.</summary>
    public void RefuseOthers()
    {
        foreach (var name in _body.Select(field => field.Key).Where(name => !_known.Contains(name)))
            Refuse(Pointers.Of(name), "unknown-field", $"There is no field '{Values.Shortened(name)}'. Expected {string.Join(", ", _known.Select(k => $"'{k}'"))}.");
    }

    private T? Wrong<T>(string name, JsonNode value, string expected)
    {
        Refuse(Pointers.Of(name), "wrong-type", $"The field '{name}' is {Values.Describe(value)}. Expected {expected}.");
        return default;
    }
}
