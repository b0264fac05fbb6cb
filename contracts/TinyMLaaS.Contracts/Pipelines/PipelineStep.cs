using System.Text.Json;

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
}
