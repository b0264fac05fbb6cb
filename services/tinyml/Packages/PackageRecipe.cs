using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Steps;

namespace TinyMLaaS.Tinyml.Packages;

/// <summary>What a package's seal says of how it was made.</summary>
internal sealed record PackageRecipe
{
    public required string ModelName { get; init; }

    /// <summary>Digest of the model that the run started from.</summary>
    public required string Model { get; init; }

    public required int Seed { get; init; }

    /// <summary>All steps, the package's own last.</summary>
    public required IReadOnlyList<RecipeLine> Steps { get; init; }

    /// <summary>Digests of the datasets by name.</summary>
    public required IReadOnlyDictionary<string, string> Datasets { get; init; }

    /// <summary>Reads the statement of a seal; null where it is another's.</summary>
    public static PackageRecipe? Read(JsonObject statement)
    {
        try
        {
            var parameters = statement["predicate"]!["buildDefinition"]!["externalParameters"]!;
            var recipe = parameters["recipe"].Deserialize<Recipe>(ContractJson.Options)!;
            var last = parameters["package"]!;
            return new PackageRecipe
            {
                ModelName = recipe.ModelName,
                Model = recipe.Model.Digest,
                Seed = (int)last["seed"]!,
                Steps =
                [
                    .. recipe.Steps.Select(s => new RecipeLine(s.Uses, s.Version, s.With is { } with ? JsonSerializer.SerializeToNode(with) : null, s.Datasets.ToDictionary(d => d.Key, d => d.Value.Name))),
                    new RecipeLine((string)last["uses"]!, (string)last["version"]!, last["with"]?.DeepClone(), new Dictionary<string, string>()),
                ],
                Datasets = recipe.Steps.SelectMany(s => s.Datasets.Values).Where(d => d.Artifact is not null).DistinctBy(d => d.Name).ToDictionary(d => d.Name, d => d.Artifact!.Digest),
            };
        }
        catch (Exception error) when (error is JsonException or NullReferenceException or InvalidOperationException or FormatException)
        {
            return null;
        }
    }

    /// <summary>The pipeline that makes it again.</summary>
    public JsonObject Document() => new()
    {
        ["steps"] = new JsonArray([.. Steps.Select(s =>
        {
            var step = new JsonObject { ["uses"] = s.Uses };
            if (s.With is not null)
                step["with"] = s.With.DeepClone();
            if (s.Datasets.Count > 0)
                step["datasets"] = new JsonObject(s.Datasets.Select(d => KeyValuePair.Create(d.Key, (JsonNode?)d.Value)));
            return step;
        })]),
    };

    public JsonObject Describe() => new()
    {
        ["model"] = new JsonObject { ["name"] = ModelName, ["digest"] = Model },
        ["seed"] = Seed,
        ["steps"] = new JsonArray([.. Steps.Select(s => new JsonObject { ["uses"] = s.Uses, ["version"] = s.Version, ["with"] = s.With?.DeepClone() })]),
        ["datasets"] = new JsonObject(Datasets.Select(d => KeyValuePair.Create(d.Key, (JsonNode?)d.Value))),
    };
}

/// <summary>A step as a package's seal tells it.</summary>
/// <param name="Uses">The transformer.</param>
/// <param name="Version">Its version then.</param>
/// <param name="With">Its options; null for all defaults.</param>
/// <param name="Datasets">Names of its datasets by role.</param>
internal sealed record RecipeLine(string Uses, string Version, JsonNode? With, IReadOnlyDictionary<string, string> Datasets);
