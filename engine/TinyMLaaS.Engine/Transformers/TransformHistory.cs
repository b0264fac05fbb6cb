using System.Text.Json.Nodes;

namespace TinyMLaaS.Engine.Transformers;

/// <summary>How an input came to be, for transformers that write it down.</summary>
public sealed record TransformHistory
{
    /// <summary>Name of the model that the run started from.</summary>
    public required string ModelName { get; init; }

    /// <summary>The recipe: model, steps, versions, options, datasets, seeds and digests, as JSON.</summary>
    public required JsonObject Recipe { get; init; }

    /// <summary>The reports of the steps so far, in their order; none for a transformer that does not ask for them (<see cref="TransformerInfo.ReadsReports"/>).</summary>
    public required IReadOnlyList<string> ReportPaths { get; init; }
}
