using System.Collections.Immutable;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.OnnxRuntime;

/// <summary>How long networks take in ONNX Runtime: one feed at a time, one thread, all rewriting allowed.</summary>
public static class Latency
{
    /// <summary>
    /// Median time of a run of each network, in milliseconds. The networks take turns, so that whatever else the machine does falls on all of them alike.
    /// </summary>
    /// <param name="models">ONNX files as bytes.</param>
    /// <param name="clock">The clock to measure by.</param>
    /// <param name="feed">One tensor for each input, which all networks take; null feeds zeros of the least size.</param>
    /// <param name="runs">Timed runs of each, at least 1; a tenth as many, and at least 3, come before and are not timed.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static IReadOnlyList<double> MedianMilliseconds(IReadOnlyList<byte[]> models, TimeProvider clock, IReadOnlyList<Tensor>? feed = null, int runs = 100, CancellationToken cancellation = default)
    {
        var sessions = new List<RuntimeSession>();
        try
        {
            foreach (var model in models)
                sessions.Add(RuntimeSession.Open(model, cancellation: cancellation));
            var feeds = sessions.Select(s => feed ?? Zeros(s.Inputs)).ToArray();
            var times = sessions.Select(_ => new double[runs]).ToArray();
            for (var run = -Math.Max(3, runs / 10); run < runs; run++)
            {
                for (var i = 0; i < sessions.Count; i++)
                {
                    var start = clock.GetTimestamp();
                    sessions[i].Run(feeds[i], sessions[i].OutputNames, (_, _, _, _) => { });
                    if (run >= 0)
                        times[i][run] = clock.GetElapsedTime(start).TotalMilliseconds;
                }
            }
            return [.. times.Select(Median)];
        }
        finally
        {
            foreach (var session in sessions)
                session.Dispose();
        }
    }

    internal static double Median(double[] values)
    {
        Array.Sort(values);
        return (values[(values.Length - 1) / 2] + values[values.Length / 2]) / 2;
    }

    private static Tensor[] Zeros(IReadOnlyList<SampleInput> inputs) =>
        [.. inputs.Select(i => (Input: i, Shape: i.Shape.Select(d => d.Value ?? 1).ToImmutableArray()))
            .Select(i => Tensor.FromBytes(i.Input.Type, i.Shape.AsSpan(), new byte[i.Input.Type.ByteLength(Tensor.CountOf(i.Shape.AsSpan()))]))];
}
