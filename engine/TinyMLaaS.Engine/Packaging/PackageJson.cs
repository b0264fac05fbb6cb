using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Packaging;

/// <summary>JSON of packages: indented, for people too, the same bytes everywhere.</summary>
internal static class PackageJson
{
    private static readonly JsonSerializerOptions Options = new() { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A file's bytes.</summary>
    public static byte[] Bytes(JsonNode json) => Encoding.UTF8.GetBytes(json.ToJsonString(Options) + "\n");

    /// <summary>Files with digests and sizes.</summary>
    public static JsonArray Describe(IEnumerable<PackageFile> files) =>
        new([.. files.Select(f => new JsonObject { ["path"] = f.Path, ["bytes"] = f.Bytes, ["digest"] = f.Digest })]);

    /// <summary>What a caller of a network must know, and what it costs.</summary>
    public static JsonObject Describe(Model model)
    {
        var costs = ModelCosts.Of(model);
        var types = ShapeInference.Of(model);
        return new JsonObject
        {
            ["inputs"] = new JsonArray([.. model.Graph.RequiredInputs.Select(i => Describe(i, types[i]))]),
            ["outputs"] = new JsonArray([.. model.Graph.Outputs.Select(o => Describe(o, types[o]))]),
            ["opset"] = model.Opset,
            ["irVersion"] = model.IrVersion,
            ["parameters"] = costs.Parameters,
            ["macs"] = costs.Macs,
        };
    }

    /// <summary>A value: type null when it is no tensor, extents as numbers, symbols or null, shape null when not even the rank is known.</summary>
    private static JsonObject Describe(Value value, TensorType type) => new()
    {
        ["name"] = value.Name,
        ["type"] = type.Element == ElementType.Undefined ? null : type.Element.ToString().ToLowerInvariant(),
        ["shape"] = type.Shape is { } shape ? new JsonArray([.. shape.Select(d => d.Value is { } extent ? JsonValue.Create(extent) : d.Symbol is { } symbol ? JsonValue.Create(symbol) : (JsonNode?)null)]) : null,
    };
}
