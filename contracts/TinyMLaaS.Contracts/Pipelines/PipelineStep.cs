using System.Text.Json;
using System.Text.Json.Serialization;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>One transformer with its options, datasets and placement.</summary>
public sealed record PipelineStep
{
    /// <summary>A transformer, <c>&lt;worker&gt;/&lt;name&gt;</c>.</summary>
    public required string Uses { get; init; }

    /// <summary>Options by name (kebab-case), as the transformer's option schema says; absent means all defaults.</summary>
    public JsonElement? With { get; init; }

    /// <summary>Dataset names by role.</summary>
    public IReadOnlyDictionary<string, string> Datasets { get; init; } = new Dictionary<string, string>();

    /// <summary>Docker Swarm placement constraints, e.g. <c>node.labels.gpu == true</c>.</summary>
    public IReadOnlyList<string> Placement { get; init; } = [];

    /// <summary>How long it may take; absent: as the document says.</summary>
    public StepTimeouts? Timeouts { get; init; }

    /// <summary>When it is tried again; absent: the orchestrator's defaults.</summary>
    public StepRetry? Retry { get; init; }

    /// <summary>One of <see cref="LeaseLossPolicies"/>; absent: <c>retry</c>.</summary>
    [JsonPropertyName("on-lease-lost")]
    public string? OnLeaseLost { get; init; }
}
