using System.Text.Json;
using System.Text.Json.Nodes;

namespace TinyMLaaS.PipelineApi.Requests;

/// <summary>JSON values in words, as messages need them.</summary>
internal static class Values
{
    private const int ShownLength = 60;

    public static string Describe(JsonNode? value) => value?.GetValueKind() switch
    {
        null or JsonValueKind.Null or JsonValueKind.Undefined => "empty",
        JsonValueKind.Object => "a mapping",
        JsonValueKind.Array => "a list",
        JsonValueKind.String => $"the text '{Shortened(value.GetValue<string>())}'",
        JsonValueKind.Number => $"the number {Shortened(value.ToJsonString())}",
        _ => value.ToJsonString(),
    };

    public static string Shortened(string text) => text.Length <= ShownLength ? text : text[..ShownLength] + "...";

    /// <summary>A number without a fraction, however it is written; null for any other value.</summary>
    public static long? Whole(JsonNode? value)
    {
        if (value?.GetValueKind() != JsonValueKind.Number)
            return null;
        var element = JsonSerializer.SerializeToElement(value);
        return element.TryGetInt64(out var whole) ? whole
            : element.TryGetDouble(out var number) && Math.Abs(number) < 1L << 53 && Math.Truncate(number) == number ? (long)number
            : null;
    }

    /// <summary>The nearest of <paramref name="known"/> if it is near enough to be a slip of the pen.</summary>
    public static string? Nearest(string text, IEnumerable<string> known)
    {
        if (text.Length > ShownLength)
            return null;
        var (nearest, distance) = known
            .Select(k => (Text: k, Distance: Distance(text.ToLowerInvariant(), k.ToLowerInvariant())))
            .OrderBy(k => k.Distance).ThenBy(k => k.Text, StringComparer.Ordinal)
            .FirstOrDefault((Text: "", Distance: int.MaxValue));
        return distance <= Math.Max(2, text.Length / 3) ? nearest : null;
    }

    // Levenshtein: insertions, deletions and substitutions.
    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substituted, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[^1];
    }
}
