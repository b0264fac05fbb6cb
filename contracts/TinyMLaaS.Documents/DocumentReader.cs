using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace TinyMLaaS.Documents;

/// <summary>
/// Reads YAML or JSON text into the JSON model. Plain scalars follow YAML 1.2's core schema (so <c>no</c> and <c>1_000</c> are text); a quoted scalar stays text.
/// Safe on hostile text: bounded in size and depth, and anchors, aliases and tags are refused, since they let a small text unfold into a large one.
/// </summary>
public static partial class DocumentReader
{
    /// <summary>Largest text, in UTF-8 bytes.</summary>
    public const int MaximumBytes = 1 << 20;

    /// <summary>Most mappings and sequences around a value.</summary>
    public const int MaximumDepth = 64;

    /// <summary>Reads one document.</summary>
    /// <returns>The value; null for the YAML or JSON value null.</returns>
    /// <exception cref="DocumentException">The text is too large or too deep, is malformed, holds no or several documents, repeats a key or uses what JSON cannot say.</exception>
    public static JsonNode? Read(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length > MaximumBytes || Encoding.UTF8.GetByteCount(text) > MaximumBytes)
            throw new DocumentException("document-too-large", $"The document is larger than {MaximumBytes} bytes, the most that is read.", 1, 1);
        return TryReadJson(text, out var json) ? json : new Reading(text).Document();
    }

    // JSON is tried first because YAML refuses some of it (tabs as white space). What fails here is read again as YAML, which then names the place.
    private static bool TryReadJson(string text, out JsonNode? json)
    {
        json = null;
        if (text.AsSpan().TrimStart() is not ['{' or '[', ..])
            return false;
        try
        {
            json = JsonNode.Parse(text, documentOptions: new JsonDocumentOptions { MaxDepth = MaximumDepth, AllowDuplicateProperties = false });
            return AllFinite(json);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool AllFinite(JsonNode? node) => node switch
    {
        JsonObject members => members.All(m => AllFinite(m.Value)),
        JsonArray items => items.All(AllFinite),
        JsonValue value when value.GetValueKind() == JsonValueKind.Number => double.IsFinite(value.GetValue<double>()),
        _ => true,
    };

    [GeneratedRegex(@"^[-+]?[0-9]+\z", RegexOptions.CultureInvariant)]
    private static partial Regex Decimal { get; }

    [GeneratedRegex(@"^(0x[0-9a-fA-F]+|0o[0-7]+)\z", RegexOptions.CultureInvariant)]
    private static partial Regex HexadecimalOrOctal { get; }

    [GeneratedRegex(@"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\z", RegexOptions.CultureInvariant)]
    private static partial Regex Real { get; }

    [GeneratedRegex(@"^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\z", RegexOptions.CultureInvariant)]
    private static partial Regex NotFinite { get; }

    private sealed class Reading(string text)
    {
        private readonly Parser _parser = new(new Scanner(new StringReader(text), skipComments: true));

        public JsonNode? Document()
        {
            Next();
            if (Next() is not DocumentStart)
                throw new DocumentException("empty-document", "The document is empty.", 1, 1);
            var value = Node(Next(), 1);
            Next();
            if (Next() is DocumentStart second)
                throw At("several-documents", "A second document begins here; one is expected.", second.Start);
            return value;
        }

        private ParsingEvent Next()
        {
            var before = _parser.Current?.End ?? Mark.Empty;
            try
            {
                _parser.MoveNext();
                return _parser.Current!;
            }
            catch (YamlException e)
            {
                throw new DocumentException("malformed-document", $"The text is neither YAML nor JSON: {e.Message.TrimEnd('.')}.", e.Start.Line, e.Start.Column, e);
            }
            // The scanner meets some malformed texts with plain exceptions that say nothing of the text, e.g. "[1\nb: 2" on its state.
            catch (Exception e) when (e is InvalidOperationException or ArgumentException or IndexOutOfRangeException or FormatException or OverflowException)
            {
                throw new DocumentException("malformed-document", "The text after here is neither YAML nor JSON.", before.Line, before.Column, e);
            }
        }

        private JsonNode? Node(ParsingEvent start, int depth)
        {
            if (start is AnchorAlias)
                throw At("unsupported-yaml", "Aliases (*name) are not read; write the value out.", start.Start);
            if (start is not NodeEvent node)
                throw At("malformed-document", "A value is expected here.", start.Start);
            if (!node.Anchor.IsEmpty)
                throw At("unsupported-yaml", $"Anchors (&{node.Anchor.Value}) are not read; write the value out where it is needed.", node.Start);
            if (!node.Tag.IsEmpty)
                throw At("unsupported-yaml", $"Tags ({(node.Tag.IsNonSpecific ? "!" : node.Tag.Value)}) are not read; quote a scalar to make it text.", node.Start);
            if (node is Scalar scalar)
                return scalar.Style == ScalarStyle.Plain ? Plain(scalar) : JsonValue.Create(scalar.Value);
            if (depth > MaximumDepth)
                throw At("document-too-deep", $"More than {MaximumDepth} mappings and sequences are nested here.", node.Start);
            return node is MappingStart ? Mapping(depth) : Sequence(depth);
        }

        private JsonObject Mapping(int depth)
        {
            var mapping = new JsonObject();
            for (var next = Next(); next is not MappingEnd; next = Next())
            {
                if (next is not Scalar key || !key.Anchor.IsEmpty || !key.Tag.IsEmpty)
                    throw At("unsupported-yaml", "A key must be plain or quoted text.", next.Start);
                if (mapping.ContainsKey(key.Value))
                    throw At("duplicate-key", $"The key '{key.Value}' stands twice in one mapping.", key.Start);
                mapping.Add(key.Value, Node(Next(), depth + 1));
            }
            return mapping;
        }

        private JsonArray Sequence(int depth)
        {
            var sequence = new JsonArray();
            for (var next = Next(); next is not SequenceEnd; next = Next())
                sequence.Add(Node(next, depth + 1));
            return sequence;
        }

        private static JsonNode? Plain(Scalar scalar)
        {
            var value = scalar.Value;
            if (value is "" or "~" or "null" or "Null" or "NULL")
                return null;
            if (value is "true" or "True" or "TRUE")
                return JsonValue.Create(true);
            if (value is "false" or "False" or "FALSE")
                return JsonValue.Create(false);
            if (Decimal.IsMatch(value))
                return Integer(scalar, long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : null);
            if (HexadecimalOrOctal.IsMatch(value))
                return Integer(scalar, FromRadix(value));
            if (Real.IsMatch(value))
            {
                var real = double.Parse(value, NumberStyles.Float, CultureInfo.InvariantCulture);
                return double.IsFinite(real) ? Number(real.ToString("R", CultureInfo.InvariantCulture)) : throw OutOfRange(scalar);
            }
            return NotFinite.IsMatch(value)
                ? throw At("number-out-of-range", $"'{value}' is no finite number; quote it if text is meant.", scalar.Start)
                : JsonValue.Create(value);
        }

        private static JsonNode Integer(Scalar scalar, long? number) =>
            number is { } value ? Number(value.ToString(CultureInfo.InvariantCulture)) : throw OutOfRange(scalar);

        // Through the JSON parser, so that a number of either notation can be asked for as any type that holds it.
        private static JsonNode Number(string json) => JsonNode.Parse(json)!;

        private static long? FromRadix(string value)
        {
            long result = 0;
            foreach (var digit in value.AsSpan(2))
            {
                var radix = value[1] == 'x' ? 16 : 8;
                var addend = char.IsAsciiDigit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10;
                if (result > (long.MaxValue - addend) / radix)
                    return null;
                result = (result * radix) + addend;
            }
            return result;
        }

        private static DocumentException OutOfRange(Scalar scalar) => At("number-out-of-range",
            $"{(scalar.Value.Length > 40 ? scalar.Value[..40] + "..." : scalar.Value)} fits neither a signed 64-bit integer nor a double; quote it if text is meant.", scalar.Start);

        private static DocumentException At(string code, string message, Mark mark) => new(code, message, mark.Line, mark.Column);
    }
}
