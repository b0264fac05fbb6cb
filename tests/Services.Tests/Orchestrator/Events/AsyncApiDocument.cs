using System.Text.Json.Nodes;
using NJsonSchema;
using TinyMLaaS.Documents;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator.Events;

/// <summary><c>docs/asyncapi.yaml</c>, as a reader of AsyncAPI 3 understands it.</summary>
internal sealed class AsyncApiDocument
{
    private const string SchemaPrefix = "#/components/schemas/";

    private readonly JsonSchema _schemas;

    private AsyncApiDocument(JsonNode root, JsonSchema schemas) => (Root, _schemas) = (root, schemas);

    public JsonNode Root { get; }

    /// <summary>Messages of the broker by their name, which is the type of the event.</summary>
    public IReadOnlyDictionary<string, JsonNode> Messages => Root["channels"]!["broker"]!["messages"]!.AsObject()
        .Select(m => Resolve((string)m.Value!["$ref"]!)).ToDictionary(m => (string)m["name"]!);

    public static async Task<AsyncApiDocument> ReadAsync()
    {
        var root = DocumentReader.Read(await File.ReadAllTextAsync(Repository.Path("docs/asyncapi.yaml")))!;
        var schemas = new JsonObject { ["definitions"] = root["components"]!["schemas"]!.DeepClone() };
        // The same references, from a document of schemas alone.
        return new AsyncApiDocument(root, await JsonSchema.FromJsonAsync(schemas.ToJsonString().Replace(SchemaPrefix, "#/definitions/", StringComparison.Ordinal)));
    }

    /// <summary>What a reference inside the document points at.</summary>
    public JsonNode Resolve(string reference) => reference.Split('/')[1..].Aggregate(Root, (node, name) => node[name] ?? throw new InvalidOperationException($"{reference} points at nothing."));

    /// <summary>The schema of a message's payload, by name.</summary>
    public string PayloadOf(string type) => ((string)Messages[type]["payload"]!["$ref"]!)[SchemaPrefix.Length..];

    /// <summary>The schema of a message's headers, by name.</summary>
    public string HeadersOf(string type) => ((string)Messages[type]["headers"]!["$ref"]!)[SchemaPrefix.Length..];

    /// <summary>All that a value breaks of a schema.</summary>
    public IReadOnlyList<string> Check(string schema, JsonNode value) =>
        [.. _schemas.Definitions[schema].Validate(value.ToJsonString()).Select(e => $"{schema} {e.Path}: {e.Kind}")];
}
