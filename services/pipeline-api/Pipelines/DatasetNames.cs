using System.Text.Json;
using System.Text.Json.Nodes;

namespace TinyMLaaS.PipelineApi.Pipelines;

/// <summary>The datasets that a document names, whatever else is wrong with it.</summary>
internal static class DatasetNames
{
    public static IReadOnlySet<string> In(JsonNode? document)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        if (document is not JsonObject fields)
            return names;
        Add((fields["evaluate"] as JsonObject)?["dataset"]);
        foreach (var step in (fields["steps"] as JsonArray ?? []).OfType<JsonObject>())
        {
            foreach (var (_, name) in step["datasets"] as JsonObject ?? [])
                Add(name);
        }
        return names;

        void Add(JsonNode? name)
        {
            if (name?.GetValueKind() == JsonValueKind.String)
                names.Add(name.GetValue<string>());
        }
    }
}
