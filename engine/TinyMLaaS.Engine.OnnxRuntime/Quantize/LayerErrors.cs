using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// How far tensors inside a rounded network lie from those of the float network, everything before them being rounded too: what a reader of a report looks at to find the layer that hurts.
/// Measured on a few feeds of the calibration data, one at a time, with the arithmetic that the file states.
/// </summary>
internal static class LayerErrors
{
    // Enough to tell layers apart; the search has measured the outputs on more.
    private const int Feeds = 8;

    /// <summary>The SQNR of each pair in dB, 10 log10 of the float tensor's energy over that of the difference; 200 when there is none. Tensors that are not float, and pairs one of which is missing, are left out.</summary>
    /// <param name="original">The float network.</param>
    /// <param name="rounded">The rounded network, with the same inputs.</param>
    /// <param name="pairs">Names of a float tensor and of what stands for it in the rounded network.</param>
    /// <param name="dataset">The calibration data.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static Dictionary<string, double> Measure(byte[] original, byte[] rounded, IEnumerable<(string Original, string Rounded)> pairs, Dataset dataset, CancellationToken cancellation)
    {
        var (floats, integers) = (OnnxFile.Read(original), OnnxFile.Read(rounded));
        (string Original, string Rounded)[] asked = [.. pairs.Where(p => Expose(floats.Graph, p.Original) && Expose(integers.Graph, p.Rounded))];
        using var reference = Open(floats, cancellation);
        using var session = Open(integers, cancellation);
        asked = [.. asked.Where(p => IsFloat(reference, p.Original) && IsFloat(session, p.Rounded))];
        var signals = new double[asked.Length];
        var noises = new double[asked.Length];
        foreach (var feed in asked.Length == 0 ? [] : OutputError.Spread(reference.Bind(dataset), Feeds))
        {
            var expected = new float[asked.Length][];
            reference.Run(feed, [.. asked.Select(p => p.Original)], (index, _, _, bytes) => expected[index] = MemoryMarshal.Cast<byte, float>(bytes).ToArray());
            session.Run(feed, [.. asked.Select(p => p.Rounded)], (index, _, _, bytes) =>
            {
                var values = MemoryMarshal.Cast<byte, float>(bytes);
                // Where the float network gives no number there is nothing to be near to.
                for (var i = 0; i < values.Length; i++)
                {
                    var right = (double)expected[index][i];
                    if (!double.IsFinite(right))
                        continue;
                    var error = right - values[i];
                    signals[index] += right * right;
                    noises[index] += double.IsFinite(error) ? error * error : right * right;
                }
                expected[index] = [];
            });
        }
        return asked.Select((p, i) => (p.Original, Share: noises[i] == 0 ? 0 : noises[i] / Math.Max(signals[i], double.Epsilon)))
            .ToDictionary(e => e.Original, e => OutputError.Error.InDecibels(e.Share), StringComparer.Ordinal);
    }

    private static RuntimeSession Open(Model model, CancellationToken cancellation) =>
        RuntimeSession.Open(OnnxFile.ToBytes(model), GraphOptimizationLevel.ORT_DISABLE_ALL, cancellation: cancellation);

    private static bool Expose(Graph graph, string name)
    {
        if (graph.Find(name) is not { Producer: not null } value)
            return false;
        if (!value.IsOutput)
            graph.AddOutput(value);
        return true;
    }

    private static bool IsFloat(RuntimeSession session, string name) => session.OutputType(name) == ElementType.Float;
}
