using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.OnnxRuntime;

/// <summary>The figures that a report has of a network before and after.</summary>
internal static class NetworkFigures
{
    public static JsonObject Of(int bytes, Model model)
    {
        var costs = ModelCosts.Of(model);
        return new JsonObject { ["bytes"] = bytes, ["parameters"] = costs.Parameters, ["macs"] = costs.Macs };
    }
}
