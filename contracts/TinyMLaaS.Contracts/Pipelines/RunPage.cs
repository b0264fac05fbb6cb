using System.Text.Json.Serialization;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>A part of the list of runs, newest first.</summary>
public sealed record RunPage
{
    /// <summary>The runs; written <c>items</c>, as in every list.</summary>
    [JsonPropertyName("items")]
    public required IReadOnlyList<RunResource> Runs { get; init; }

    /// <summary>Opaque; given as <c>page_token</c> it gets the next part. Absent on the last one.</summary>
    public string? NextPageToken { get; init; }
}
