using System.Text.Json;
using TinyMLaaS.Engine.Datasets;

namespace TinyMLaaS.Engine.Transformers;

/// <summary>One piece of work for a transformer.</summary>
public sealed record TransformRequest
{
    /// <summary>The input file.</summary>
    public required string InputPath { get; init; }

    /// <summary>Its artifact kind, one of <see cref="TransformerInfo.Accepts"/>.</summary>
    public required string InputKind { get; init; }

    /// <summary>The model that the run started from; null outside a run, and for a transformer that does not ask for it.</summary>
    public string? OriginalPath { get; init; }

    /// <summary>Options by name; undefined or null means all defaults.</summary>
    public JsonElement? Options { get; init; }

    /// <summary>Datasets by role.</summary>
    public IReadOnlyDictionary<string, Dataset> Datasets { get; init; } = new Dictionary<string, Dataset>();

    /// <summary>Seed of every random choice.</summary>
    public int Seed { get; init; }

    /// <summary>How the input came to be; null outside a run.</summary>
    public TransformHistory? History { get; init; }

    /// <summary>An empty folder for the output and for scratch files; the caller removes it.</summary>
    public required string WorkFolder { get; init; }
}
