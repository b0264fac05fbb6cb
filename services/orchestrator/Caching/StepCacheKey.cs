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
        return Hash(json =>
        {
            json.WriteStartArray();
            json.WriteStringValue(offer.Tenant);
            json.WriteStringValue(offer.Input.Digest);
            json.WriteStringValue(offer.Input.Kind);
            json.WriteStringValue(offer.Uses);
            json.WriteStringValue(offer.Version);
            json.WriteNumberValue(offer.Seed);
            WriteOptions(json, offer.With);
            WriteDatasets(json, offer);
            if (HasHistory(offer))
                WriteHistory(json, offer);
            json.WriteEndArray();
        });
    }

    /// <summary>The parts of the step that an offer describes; null when its result may not be cached.</summary>
    public static StepCacheParts? PartsOf(StepOffer offer) => offer.Datasets.Values.Any(d => d.Artifact is null) ? null : new StepCacheParts
    {
        Input = $"{offer.Input.Digest} {offer.Input.Kind}",
        Options = Hash(json => WriteOptions(json, offer.With)),
        Version = offer.Version,
        Datasets = Hash(json => WriteDatasets(json, offer)),
        Seed = offer.Seed,
        History = HasHistory(offer) ? Hash(json => WriteHistory(json, offer)) : "",
    };

    private static string Hash(Action<Utf8JsonWriter> write)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
            write(json);
        return Convert.ToHexStringLower(SHA256.HashData(buffer.GetBuffer().AsSpan(0, (int)buffer.Length)));
    }

    private static void WriteDatasets(Utf8JsonWriter json, StepOffer offer)
    {
        json.WriteStartObject();
        foreach (var (role, dataset) in offer.Datasets.OrderBy(d => d.Key, StringComparer.Ordinal))
            json.WriteString(role, dataset.Artifact!.Digest);
        json.WriteEndObject();
    }

    private static bool HasHistory(StepOffer offer) => offer.Uses.StartsWith(HistoryWriters, StringComparison.Ordinal) || offer.Uses == PipelineRun.Evaluator;

    private static void WriteHistory(Utf8JsonWriter json, StepOffer offer)
    {
        if (offer.Uses == PipelineRun.Evaluator)
            json.WriteStringValue(offer.Recipe.Model.Digest); // some metrics compare with the network that the run started from
        else
            JsonSerializer.Serialize(json, offer.Recipe, ContractJson.Options);
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
