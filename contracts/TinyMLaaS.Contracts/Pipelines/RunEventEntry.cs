using System.Text.Json;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>One entry of a run's event log.</summary>
public sealed record RunEventEntry
{
    /// <summary>Its place; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>What happened, e.g. <c>io.tinymlaas.step.succeeded.v1</c>.</summary>
    public required string Type { get; init; }

    /// <summary>When, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>The event itself.</summary>
    public required JsonElement Data { get; init; }
}
