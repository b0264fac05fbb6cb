using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Contracts.Steps;

/// <summary>How the input of a step came to be: enough to make it again.</summary>
public sealed record Recipe
{
    /// <summary>Name of the model that the run started from.</summary>
    public required string ModelName { get; init; }

    /// <summary>The model that the run started from.</summary>
    public required ArtifactRef Model { get; init; }

    /// <summary>The steps before this one, in order.</summary>
    public required IReadOnlyList<RecipeStep> Steps { get; init; }
}
