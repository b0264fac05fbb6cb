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
        var description = ModelDescription.Of(model);
        return new JsonObject
        {
            ["inputs"] = new JsonArray([.. description.Inputs.Select(Describe)]),
            ["outputs"] = new JsonArray([.. description.Outputs.Select(Describe)]),
            ["opset"] = description.Opset,
            ["irVersion"] = description.IrVersion,
            ["parameters"] = description.Parameters,
            ["macs"] = description.Macs,
            ["peakActivationBytes"] = description.PeakActivationBytes,
        };
    }

    private static JsonObject Describe(ValueDescription value) => new()
    {
        ["name"] = value.Name,
        ["type"] = value.Type,
        ["shape"] = value.Shape is { } shape ? new JsonArray([.. shape.Select(e => JsonSerializer.SerializeToNode(e))]) : null,
    };
}
