using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// What rounding an operator's weights and input shifts its output by on average, channel by channel (M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
/// 2019, section 4.2, measured on data). Each operator computes beside itself, from its own float input, what it would with integers; so a shift is that of this operator alone.
/// </summary>
internal static class BiasCorrection
{
    /// <summary>For each integer operator with a bias, by first output: what to add to the bias of each channel.</summary>
    /// <param name="fused">The fused float network.</param>
    /// <param name="draft">What will be integer, and its grids.</param>
    /// <param name="dataset">The calibration data, all of which is run.</param>
    /// <param name="weights">How weights become integers.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static Dictionary<string, float[]> Measure(byte[] fused, QuantizationDraft draft, Dataset dataset, WeightGrid weights, CancellationToken cancellation)
    {
        var copy = OnnxFile.Read(fused);
        var operators = new List<(string Key, string Shift, bool IsConv, double[] Sums, long[] Count)>();
        foreach (var node in draft.Plan.Nodes.Where(n => QuantizationPlan.HasWeights(n) && n.Input(2) is not null && draft.Grids.ContainsKey(n.Input(0)!)))
        {
            var key = QuantizationDraft.Key(node)!;
            var shift = AddShift(copy.Graph, copy.Graph.Find(key)!.Producer!, draft.Grids[node.Input(0)!], weights);
            copy.Graph.AddOutput(shift);
            operators.Add((key, shift.Name, node.Is("Conv"), new double[QuantizationPlan.OutputChannels(node)], new long[1]));
        }
        if (operators.Count == 0)
            return [];
        using var session = RuntimeSession.Open(OnnxFile.ToBytes(copy), GraphOptimizationLevel.ORT_DISABLE_ALL, cancellation: cancellation);
        string[] asked = [.. operators.Select(o => o.Shift)];
        foreach (var sample in session.Bind(dataset).Samples())
        {
            foreach (var feed in sample.Feeds)
            {
                session.Run(feed, asked, (index, _, shape, bytes) =>
                {
                    var (_, _, isConv, sums, count) = operators[index];
                    var values = MemoryMarshal.Cast<byte, float>(bytes);
                    var run = isConv ? (int)Tensor.CountOf(shape[2..]) : 1;
                    for (var i = 0; i < values.Length; i++)
                        sums[i / run % sums.Length] += values[i];
                    count[0] += values.Length / sums.Length;
                });
            }
        }
        return operators.Where(o => o.Count[0] > 0).ToDictionary(o => o.Key, o => o.Sums.Select(s => (float)(s / o.Count[0])).ToArray(), StringComparer.Ordinal);
    }

    /// <summary>What the operator gives less what it gives with input and weight rounded.</summary>
    private static Value AddShift(Graph graph, Node node, QuantizationParameters grid, WeightGrid weights)
    {
        var after = node.Next;
        var input = Rounding.Add(graph, node.Input(0)!, grid, after).Rounded;
        var tensor = node.Input(1)!.Constant!;
        var weight = weights.Of(node, tensor);
        var rounded = graph.AddNode(node.OpType, [input, graph.AddConstant("shift_w", Tensor.From<float>(tensor.Shape.AsSpan(), weight.Values())), node.Input(2)], "shift_y", after);
        foreach (var (name, value) in node.Attributes)
            rounded.Producer!.Set(name, value);
        return graph.AddNode("Sub", [node.Output, rounded], "shift", after);
    }
}
