using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>How a package came to be, as other programs read it: an in-toto statement with SLSA provenance 1.0, and a bill of materials (CycloneDX 1.6). Neither tells a time or a machine.</summary>
internal static class Provenance
{
    /// <summary>What is built here, by SLSA's means of naming it.</summary>
    public const string BuildType = "https://tinymlaas.io/pipeline/v1";

    /// <summary>Where the bill of materials lies in a package.</summary>
    public const string BillPath = "sbom.cdx.json";

    private const string Builder = "https://tinymlaas.io/installer";

    /// <summary>The statement about a package.</summary>
    /// <param name="subjects">What it is about, by name and digest (64 hexadecimal digits); the package's content first.</param>
    /// <param name="maker">The transformer that made it.</param>
    /// <param name="request">With what.</param>
    /// <param name="components">What else went in, as <see cref="Components"/> gives it.</param>
    public static JsonObject Statement(IReadOnlyList<(string Name, string Sha256)> subjects, TransformerInfo maker, TransformRequest request, JsonArray components) => new()
    {
        ["_type"] = "https://in-toto.io/Statement/v1",
        ["subject"] = new JsonArray([.. subjects.Select(s => new JsonObject { ["name"] = s.Name, ["digest"] = new JsonObject { ["sha256"] = s.Sha256 } })]),
        ["predicateType"] = "https://slsa.dev/provenance/v1",
        ["predicate"] = new JsonObject
        {
            ["buildDefinition"] = new JsonObject
            {
                ["buildType"] = BuildType,
                ["externalParameters"] = new JsonObject
                {
                    ["recipe"] = request.History?.Recipe.DeepClone(),
                    ["package"] = new JsonObject
                    {
                        ["uses"] = maker.Name,
                        ["version"] = maker.Version,
                        ["with"] = request.Options is { ValueKind: JsonValueKind.Object } options ? JsonSerializer.SerializeToNode(options) : null,
                        ["seed"] = request.Seed,
                    },
                },
                ["resolvedDependencies"] = new JsonArray([.. components.Where(c => c!["hashes"] is not null).Select(c => new JsonObject
                {
                    ["name"] = c!["name"]!.DeepClone(),
                    ["digest"] = new JsonObject { ["sha256"] = c["hashes"]![0]!["content"]!.DeepClone() },
                })]),
            },
            ["runDetails"] = new JsonObject { ["builder"] = new JsonObject { ["id"] = Builder } },
        },
    };

    /// <summary>The network as a component of a bill of materials.</summary>
    public static JsonObject Network(string name, PackageFile model) =>
        Component("machine-learning-model", name, model.ShortDigest, null, model.Digest["sha256:".Length..]);

    /// <summary>What <c>serving/build</c> wrote down, as components of a bill of materials.</summary>
    public static IEnumerable<JsonObject> Components(JsonArray built) =>
        built.Select(c => Component("library", (string)c!["name"]!, (string)c["version"]!, (string?)c["purl"], (string?)c["sha256"]));

    /// <summary>A bill of materials.</summary>
    /// <param name="path">Its path in the package.</param>
    /// <param name="type">CycloneDX's word for what is described.</param>
    /// <param name="name">Its name.</param>
    /// <param name="version">Its version.</param>
    /// <param name="components">What it consists of.</param>
    public static PackageFile Bill(string path, string type, string name, string version, JsonArray components) => PackageFile.FromMemory(path, PackageJson.Bytes(new JsonObject
    {
        ["$schema"] = "http://cyclonedx.org/schema/bom-1.6.schema.json",
        ["bomFormat"] = "CycloneDX",
        ["specVersion"] = "1.6",
        ["version"] = 1,
        ["metadata"] = new JsonObject { ["component"] = new JsonObject { ["type"] = type, ["bom-ref"] = "package", ["name"] = name, ["version"] = version } },
        ["components"] = components.DeepClone(),
    }));

    private static JsonObject Component(string type, string name, string version, string? purl, string? sha256)
    {
        var component = new JsonObject { ["type"] = type, ["bom-ref"] = purl ?? $"{name}@{version}", ["name"] = name, ["version"] = version };
        if (purl is not null)
            component["purl"] = purl;
        if (sha256 is not null)
            component["hashes"] = new JsonArray(new JsonObject { ["alg"] = "SHA-256", ["content"] = sha256 });
        return component;
    }
}
