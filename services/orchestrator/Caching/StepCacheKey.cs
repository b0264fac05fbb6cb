using System.Security.Cryptography;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestrator.Caching;

/// <summary>SHA-256 of everything that the result of a step depends on.</summary>
internal static class StepCacheKey
{
    /// <summary>Its transformers write down how their input came to be, so the same bytes with another history give another result.</summary>
    private const string HistoryWriters = "installer/";

    /// <summary>The key of the step that an offer describes; null when its result may not be cached.</summary>
    public static string? Of(StepOffer offer)
    {
        // The bytes of an on-site dataset may change without anyone here knowing.
        if (offer.Datasets.Values.Any(d => d.Artifact is null))
            return null;
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartArray();
            json.WriteStringValue(offer.Tenant);
            json.WriteStringValue(offer.Input.Digest);
            json.WriteStringValue(offer.Input.Kind);
            json.WriteStringValue(offer.Uses);
            json.WriteStringValue(offer.Version);
            json.WriteNumberValue(offer.Seed);
            WriteOptions(json, offer.With);
            json.WriteStartObject();
            foreach (var (role, dataset) in offer.Datasets.OrderBy(d => d.Key, StringComparer.Ordinal))
                json.WriteString(role, dataset.Artifact!.Digest);
            json.WriteEndObject();
            if (offer.Uses.StartsWith(HistoryWriters, StringComparison.Ordinal))
                JsonSerializer.Serialize(json, offer.Recipe, ContractJson.Options);
            else if (offer.Uses == PipelineRun.Evaluator)
                json.WriteStringValue(offer.Recipe.Model.Digest); // some metrics compare with the network that the run started from
            json.WriteEndArray();
        }
        return Convert.ToHexStringLower(SHA256.HashData(buffer.GetBuffer().AsSpan(0, (int)buffer.Length)));
    }

    private static void WriteOptions(Utf8JsonWriter json, JsonElement? options)
    {
        // Absent, null and an empty object all mean: every option has its default.
        if (options is { ValueKind: JsonValueKind.Object } given)
        {
            WriteCanonical(json, given);
            return;
        }
        json.WriteStartObject();
        json.WriteEndObject();
    }

    private static void WriteCanonical(Utf8JsonWriter json, JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                json.WriteStartObject();
                foreach (var property in element.EnumerateObject().OrderBy(p => p.Name, StringComparer.Ordinal))
                {
                    json.WritePropertyName(property.Name);
                    WriteCanonical(json, property.Value);
                }
                json.WriteEndObject();
                break;
            case JsonValueKind.Array:
                json.WriteStartArray();
                foreach (var item in element.EnumerateArray())
                    WriteCanonical(json, item);
                json.WriteEndArray();
                break;
            default:
                element.WriteTo(json);
                break;
        }
    }
}
