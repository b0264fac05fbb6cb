using System.Text.Json;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>
/// Body of <c>POST /v1/runs</c>. A refused request names fields of the pipeline by their pointer in the document (<c>/steps/0/uses</c>)
/// and its own by their pointer in this body (<c>/model</c>).
/// </summary>
public sealed record RunRequest
{
    /// <summary>Name or id of a model, or digest of an artifact of kind <c>onnx</c>.</summary>
    public required string Model { get; init; }

    /// <summary>The name of a stored pipeline, or a document.</summary>
    public required JsonElement Pipeline { get; init; }

    /// <summary>Options by the number of their step, counting from 1: <c>{"2": {"calibration": "mse"}}</c>. Each replaces the document's option of that name.</summary>
    public IReadOnlyDictionary<string, JsonElement> Options { get; init; } = new Dictionary<string, JsonElement>();

    /// <summary>Datasets of this run alone: digests of artifacts of kind <c>dataset</c> by the names that the document uses. They hide registered ones.</summary>
    public IReadOnlyDictionary<string, string> Datasets { get; init; } = new Dictionary<string, string>();

    /// <summary>Higher first, -100 to 100.</summary>
    public int Priority { get; init; }

    /// <summary>Free labels, at most 32.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>False: no step may come from the step cache.</summary>
    public bool Cache { get; init; } = true;

    /// <summary>Seed of every random choice in the run, not negative.</summary>
    public int Seed { get; init; }
}
