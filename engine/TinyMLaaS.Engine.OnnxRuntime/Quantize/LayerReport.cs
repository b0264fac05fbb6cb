using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>What a report says of each operator with weights that became integer.</summary>
internal static class LayerReport
{
    /// <param name="fused">The float network.</param>
    /// <param name="bytes">The rounded network.</param>
    /// <param name="draft">What was written.</param>
    /// <param name="calibration">What the tensors held.</param>
    /// <param name="dataset">The calibration data.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static JsonArray Of(byte[] fused, byte[] bytes, QuantizationDraft draft, Calibration calibration, Dataset dataset, CancellationToken cancellation)
    {
        var rounded = draft.Rounded;
        var errors = LayerErrors.Measure(fused, bytes, draft.Layers.Select(l => (l.Output, rounded.TryGetValue(l.Output, out var now) ? now.Now.Name : l.Output)), dataset, cancellation);
        return [.. draft.Layers.Select(l => (JsonNode)new JsonObject
        {
            ["node"] = l.Node.Label,
            ["operator"] = l.Node.OpType,
            ["weightSqnrDb"] = double.IsFinite(l.Weight.SignalToNoise) ? Math.Round(l.Weight.SignalToNoise, 2) : null,
            ["outputSqnrDb"] = errors.TryGetValue(l.Output, out var decibels) ? Math.Round(decibels, 2) : null,
            ["clippedMass"] = rounded.TryGetValue(l.Output, out var output) && calibration.Statistics.TryGetValue(l.Output, out var seen) ? ClippedMass(seen, output.Grid) : null,
            ["biasHeadroomBits"] = Math.Round(l.Weight.HeadroomBits(QuantizationPlan.ChannelAxis(l.Node), l.Input.MaximumInteger - l.Input.MinimumInteger), 2),
            ["raisedScales"] = l.Weight.RaisedScales,
        })];
    }

    /// <summary>Share of the values seen that lie more than half a step beyond what the integers reach.</summary>
    public static double ClippedMass(TensorStatistics seen, QuantizationParameters grid) =>
        Math.Round(seen.ShareOutside(grid.Minimum - (grid.Scale / 2d), grid.Maximum + (grid.Scale / 2d)), 9);
}
