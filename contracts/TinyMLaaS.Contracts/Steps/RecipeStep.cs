using System.Text.Json;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;

namespace TinyMLaaS.Contracts.Steps;

/// <summary>One finished step of a recipe.</summary>
public sealed record RecipeStep
{
    /// <summary>The transformer.</summary>
    public required string Uses { get; init; }

    /// <summary>Its version.</summary>
    public required string Version { get; init; }

    /// <summary>Its options.</summary>
    public JsonElement? With { get; init; }

    /// <summary>Its datasets by role.</summary>
    public IReadOnlyDictionary<string, DatasetRef> Datasets { get; init; } = new Dictionary<string, DatasetRef>();

    /// <summary>Its seed.</summary>
    public required int Seed { get; init; }

    /// <summary>What it produced.</summary>
    public required ArtifactRef Output { get; init; }

    /// <summary>Its report.</summary>
    public required ArtifactRef Report { get; init; }
}
