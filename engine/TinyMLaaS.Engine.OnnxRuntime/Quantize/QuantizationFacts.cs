using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>What of a network decides whether its operators can be integer, worked out once for any number of plans. The network must not change meanwhile.</summary>
internal sealed class QuantizationFacts(Model model)
{
    private readonly Dictionary<Node, string?> _whyNot = [];

    public Model Model { get; } = model;

    public ShapeInference Types { get; } = ShapeInference.Of(model);

    /// <summary>Why an operator with weights cannot be integer, or null.</summary>
    public string? WhyNot(Node node)
    {
        if (!_whyNot.TryGetValue(node, out var reason))
            _whyNot.Add(node, reason = QuantizationPlan.WhyNot(node, Types));
        return reason;
    }
}
