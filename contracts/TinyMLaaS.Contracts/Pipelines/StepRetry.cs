using System.Text.Json.Serialization;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>When a step is tried again; what is left out has the orchestrator's default.</summary>
public sealed record StepRetry
{
    /// <summary>Attempts that fail or get lost before the step fails, 1 to 100; 1: none is repeated.</summary>
    public int? Attempts { get; init; }

    /// <summary>Pause before the second attempt, at most an hour; doubles with each further one.</summary>
    public string? Backoff { get; init; }

    /// <summary>Codes of failures after which it is not tried again, in addition to those that never are.</summary>
    [JsonPropertyName("not-on")]
    public IReadOnlyList<string> NotOn { get; init; } = [];
}
