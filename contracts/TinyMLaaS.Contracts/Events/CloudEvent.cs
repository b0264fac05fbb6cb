using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace TinyMLaaS.Contracts.Events;

/// <summary>
/// An event as subscribers get it: CloudEvents 1.0, JSON format. However often and on whichever way it is delivered, it is the same, so that a repetition
/// can be told by <see cref="Id"/>.
/// </summary>
public sealed record CloudEvent
{
    /// <summary>Version of the CloudEvents specification.</summary>
    public const string Specification = "1.0";

    /// <summary>Media type of one event in the JSON format.</summary>
    public const string MediaType = "application/cloudevents+json";

    /// <summary><see cref="Specification"/>.</summary>
    [JsonPropertyName("specversion")]
    public string SpecVersion { get; init; } = Specification;

    /// <summary>Names the event; unique together with <see cref="Source"/>.</summary>
    public required string Id { get; init; }

    /// <summary>Whose event it is: <c>urn:tinymlaas:tenant:NAME</c>.</summary>
    public required string Source { get; init; }

    /// <summary>One of <see cref="EventTypes"/>.</summary>
    public required string Type { get; init; }

    /// <summary>The resource as its address below <c>/v1/</c>, e.g. <c>runs/ID/steps/1</c>.</summary>
    public required string Subject { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset Time { get; init; }

    /// <summary>Media type of <see cref="Data"/>.</summary>
    [JsonPropertyName("datacontenttype")]
    public string DataContentType { get; init; } = "application/json";

    /// <summary>
    /// Place in the log of its run, from 1 without a gap, as CloudEvents' extension of that name wants it: text that sorts like the number, which is why it has leading
    /// zeros.
    /// </summary>
    public required string Sequence { get; init; }

    /// <summary>Place among all events, by which a subscriber resumes: a whole number. Extension.</summary>
    public required string Position { get; init; }

    /// <summary>The contract record of the type.</summary>
    public required JsonElement Data { get; init; }

    /// <summary>A number in the form of <see cref="Sequence"/>.</summary>
    public static string WriteSequence(long sequence) => sequence.ToString("D10", CultureInfo.InvariantCulture);
}
