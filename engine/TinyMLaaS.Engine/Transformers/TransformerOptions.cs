using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Engine.Transformers;

/// <summary>
/// Options records as data. An option is a public init property: its name in kebab-case, its default what a new record holds, its range
/// <see cref="RangeAttribute"/>, its meaning <see cref="DescriptionAttribute"/>. Types: bool, int, long, double, string, enums (as kebab-case text),
/// the nullable forms of these, and lists of text.
/// </summary>
public static class TransformerOptions
{
    /// <summary>JSON schema (draft 2020-12) of an options record: an object that admits no other property.</summary>
    /// <exception cref="NotSupportedException">A property has a type that no option can have.</exception>
    public static JsonElement Schema(Type optionsRecord)
    {
        ArgumentNullException.ThrowIfNull(optionsRecord);
        var properties = new JsonObject();
        var defaults = Activator.CreateInstance(optionsRecord)!;
        foreach (var option in Option.Of(optionsRecord))
            properties.Add(option.Name, option.Schema(defaults));
        return JsonSerializer.SerializeToElement(new JsonObject
        {
            ["type"] = "object",
            ["additionalProperties"] = false,
            ["properties"] = properties,
        });
    }

    /// <summary>Reads options strictly.</summary>
    /// <param name="with">The options by name; undefined or null means all defaults.</param>
    /// <exception cref="TransformRejectedException"><c>invalid-option</c>: the message holds every violation, one a line: unknown names, wrong types, values out of range.</exception>
    public static T Parse<T>(JsonElement? with) where T : class, new()
    {
        var result = new T();
        var violations = new List<string>();
        if (with is { ValueKind: not (JsonValueKind.Undefined or JsonValueKind.Null) } given)
        {
            if (given.ValueKind == JsonValueKind.Object)
                Fill(result, given, violations);
            else
                violations.Add($"Options must be an object of names and values, got {Show(given)}.");
        }
        if (violations.Count == 0 && result is IValidatedOptions validated)
            violations.AddRange(validated.Validate());
        return violations.Count == 0 ? result : throw new TransformRejectedException("invalid-option", string.Join('\n', violations));
    }

    private static void Fill(object record, JsonElement given, List<string> violations)
    {
        var options = Option.Of(record.GetType()).ToDictionary(o => o.Name, StringComparer.Ordinal);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var member in given.EnumerateObject())
        {
            if (!options.TryGetValue(member.Name, out var option))
                violations.Add($"Unknown option '{member.Name}'; expected {(options.Count == 0 ? "none" : "one of " + string.Join(", ", options.Keys.Select(n => $"'{n}'")))}.");
            else if (!seen.Add(member.Name))
                violations.Add($"Option '{member.Name}' is given twice; give it once.");
            else if (option.TryRead(member.Value, out var value))
                option.Property.SetValue(record, value);
            else
                violations.Add($"Option '{member.Name}': got {Show(member.Value)}, expected {option.Expected}.");
        }
    }

    private static string Show(JsonElement value)
    {
        var text = value.GetRawText();
        return text.Length > 60 ? text[..60] + "..." : text;
    }

    private sealed record Option(string Name, PropertyInfo Property, Type Type, bool Nullable)
    {
        private RangeAttribute? Range => Property.GetCustomAttribute<RangeAttribute>();

        public static IEnumerable<Option> Of(Type record) =>
            from property in record.GetProperties(BindingFlags.Public | BindingFlags.Instance)
            where property.SetMethod is { IsPublic: true }
            let bare = System.Nullable.GetUnderlyingType(property.PropertyType)
            let nullable = bare is not null || new NullabilityInfoContext().Create(property).WriteState == NullabilityState.Nullable
            select new Option(Kebab(property.Name), property, bare ?? property.PropertyType, nullable);

        public string Expected
        {
            get
            {
                var kind = Type == typeof(bool) ? "true or false"
                    : Type == typeof(int) || Type == typeof(long) ? "a whole number"
                    : Type == typeof(double) ? "a number"
                    : Type == typeof(string) ? "text"
                    : Type.IsEnum ? "one of " + string.Join(", ", Enum.GetNames(Type).Select(n => $"\"{Kebab(n)}\""))
                    : "a list of texts";
                var range = Range is { } r
                    ? $" {(r.MinimumIsExclusive ? "above" : "from")} {Text(r.Minimum)} {(r.MaximumIsExclusive ? "and below" : "to")} {Text(r.Maximum)}"
                    : "";
                return kind + range + (Nullable ? " or null" : "");
            }
        }

        public JsonObject Schema(object defaults)
        {
            var schema = new JsonObject();
            var type = Type == typeof(bool) ? "boolean"
                : Type == typeof(int) || Type == typeof(long) ? "integer"
                : Type == typeof(double) ? "number"
                : Type == typeof(string) || Type.IsEnum ? "string"
                : Type == typeof(IReadOnlyList<string>) ? "array"
                : throw new NotSupportedException($"{Property.DeclaringType!.Name}.{Property.Name} has the type {Type.Name}, which no option can have.");
            schema["type"] = Nullable ? new JsonArray(type, "null") : type;
            if (type == "array")
                schema["items"] = new JsonObject { ["type"] = "string" };
            if (Type.IsEnum)
            {
                var names = new JsonArray([.. Enum.GetNames(Type).Select(n => (JsonNode)Kebab(n))]);
                if (Nullable)
                    names.Add(null);
                schema["enum"] = names;
            }
            if (Range is { } range)
            {
                schema[range.MinimumIsExclusive ? "exclusiveMinimum" : "minimum"] = JsonSerializer.SerializeToNode(range.Minimum);
                schema[range.MaximumIsExclusive ? "exclusiveMaximum" : "maximum"] = JsonSerializer.SerializeToNode(range.Maximum);
            }
            var value = Property.GetValue(defaults);
            schema["default"] = value is Enum ? Kebab(value.ToString()!) : JsonSerializer.SerializeToNode(value);
            if (Property.GetCustomAttribute<DescriptionAttribute>() is { } description)
                schema["description"] = description.Description;
            return schema;
        }

        public bool TryRead(JsonElement given, out object? value)
        {
            value = null;
            if (given.ValueKind == JsonValueKind.Null)
                return Nullable;
            value = given.ValueKind switch
            {
                JsonValueKind.True or JsonValueKind.False when Type == typeof(bool) => given.GetBoolean(),
                JsonValueKind.Number when Type == typeof(double) => given.GetDouble() is var number && double.IsFinite(number) ? number : null,
                JsonValueKind.Number when Type == typeof(int) => Whole(given) is { } number and >= int.MinValue and <= int.MaxValue ? (int)number : null,
                JsonValueKind.Number when Type == typeof(long) => Whole(given),
                JsonValueKind.String when Type == typeof(string) => given.GetString(),
                JsonValueKind.String when Type.IsEnum => Enum.GetNames(Type).FirstOrDefault(n => Kebab(n) == given.GetString()) is { } name ? Enum.Parse(Type, name) : null,
                JsonValueKind.Array when Type == typeof(IReadOnlyList<string>) && given.EnumerateArray().All(i => i.ValueKind == JsonValueKind.String) =>
                    (string[])[.. given.EnumerateArray().Select(i => i.GetString()!)],
                _ => null,
            };
            return value is not null && InRange(value);
        }

        private bool InRange(object value)
        {
            if (Range is not { } range)
                return true;
            var number = Convert.ToDouble(value, CultureInfo.InvariantCulture);
            var minimum = Convert.ToDouble(range.Minimum, CultureInfo.InvariantCulture);
            var maximum = Convert.ToDouble(range.Maximum, CultureInfo.InvariantCulture);
            return (range.MinimumIsExclusive ? number > minimum : number >= minimum) && (range.MaximumIsExclusive ? number < maximum : number <= maximum);
        }

        // JSON does not tell 3 from 3.0.
        private static long? Whole(JsonElement given) =>
            given.TryGetInt64(out var whole) ? whole
            : given.GetDouble() is var number && Math.Abs(number) < 1L << 53 && Math.Truncate(number) == number ? (long)number : null;

        private static string Text(object number) => Convert.ToString(number, CultureInfo.InvariantCulture)!;

        private static string Kebab(string name) => JsonNamingPolicy.KebabCaseLower.ConvertName(name);
    }
}
