using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>A network with a plan and a grid for each tensor, not yet written.</summary>
internal sealed class QuantizationDraft
{
    private readonly WeightGrid _weights;
    private readonly QuantizationChoice _choice;
    private QdqWriter? _writer;

    /// <param name="facts">The fused float network, of which this is the only user if it is written.</param>
    /// <param name="excluded">Nodes that the caller excludes, by first output.</param>
    /// <param name="calibration">What the tensors hold; null plans only.</param>
    /// <param name="choice">What is varied.</param>
    /// <param name="weights">How weights become integers.</param>
    public QuantizationDraft(QuantizationFacts facts, IReadOnlySet<string> excluded, Calibration? calibration, QuantizationChoice choice, WeightGrid weights)
    {
        Model = facts.Model;
        _weights = weights;
        _choice = choice;
        Plan = QuantizationPlan.Of(facts, Model.Graph.Nodes.Where(n => Key(n) is { } key && (excluded.Contains(key) || choice.Float.ContainsKey(key))).ToHashSet(),
            node => Key(node) is { } key && choice.Float.TryGetValue(key, out var reason) ? reason : null);
        Grids = calibration is null ? [] : ChooseGrids(Plan, calibration, choice);
    }

    public Model Model { get; }

    public QuantizationPlan Plan { get; }

    /// <summary>How each tensor becomes integers.</summary>
    public IReadOnlyDictionary<Value, QuantizationParameters> Grids { get; }

    /// <summary>The operators whose weights became integers, once written.</summary>
    public IReadOnlyList<QuantizedLayer> Layers => _writer?.Layers ?? [];

    /// <summary>Once written, for each tensor that was rounded, by its name before: what stands for it now, and its grid.</summary>
    public IReadOnlyDictionary<string, (Value Now, QuantizationParameters Grid)> Rounded => _writer?.Rounded ?? new Dictionary<string, (Value, QuantizationParameters)>();

    /// <summary>A draft on a copy of its own.</summary>
    public static QuantizationDraft OnCopy(byte[] fused, IReadOnlySet<string> excluded, Calibration? calibration, QuantizationChoice choice, WeightGrid weights) =>
        new(new QuantizationFacts(OnnxFile.Read(fused)), excluded, calibration, choice, weights);

    /// <summary>The name by which a node is known in every copy of the network: its first output; null when it has none.</summary>
    public static string? Key(Node node) => node.Outputs.FirstOrDefault(o => o is not null)?.Name;

    /// <summary>Writes the plan into the network and gives its bytes. Call once.</summary>
    public byte[] Write()
    {
        _writer = new QdqWriter(Model.Graph, Plan, Grids, _weights, _choice.BiasShifts);
        _writer.Write();
        return OnnxFile.ToBytes(Model);
    }

    private static Dictionary<Value, QuantizationParameters> ChooseGrids(QuantizationPlan plan, Calibration calibration, QuantizationChoice choice)
    {
        var result = new Dictionary<Value, QuantizationParameters>();
        foreach (var group in plan.Tensors.GroupBy(plan.Representative))
        {
            var given = group.Select(t => (Tensor: t, Grid: QuantizationPlan.Given(t))).Where(g => g.Grid is not null).ToArray();
            foreach (var (tensor, grid) in given)
                result[tensor] = grid!.Value;
            var ranges = group.Where(t => !plan.IsPassedThrough(t) && calibration.Statistics.ContainsKey(t.Name))
                .Select(t => Range(t, calibration, choice.MethodOf(t.Name))).ToArray();
            if (given.Length == 0 && ranges.Length == 0)
                continue;
            var shared = given.Length > 0 ? given[0].Grid!.Value : QuantizationParameters.Asymmetric(ranges.Min(r => r.Minimum), ranges.Max(r => r.Maximum), bits: calibration.Bits);
            foreach (var tensor in group)
                result.TryAdd(tensor, shared);
        }
        return result;
    }

    private static (double Minimum, double Maximum) Range(Value tensor, Calibration calibration, CalibrationMethod method)
    {
        if (tensor.Producer is { } sigmoid && sigmoid.Is("Sigmoid"))
            return (0, 1);
        var (minimum, maximum) = calibration.Range(tensor.Name, method);
        var needed = NeededRange.Of(tensor);
        return (Math.Min(Math.Max(minimum, needed.Minimum), 0), Math.Max(Math.Min(maximum, needed.Maximum), 0));
    }
}
