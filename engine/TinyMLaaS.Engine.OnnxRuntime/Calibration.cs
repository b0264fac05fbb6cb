using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Quantization;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime;

/// <summary>What samples look like inside a network.</summary>
internal sealed class Calibration
{
    private readonly Dictionary<(string, CalibrationMethod), (double, double)> _ranges = [];
    private readonly double _percentile;

    /// <param name="statistics">What each tensor was seen to hold, taken here or elsewhere.</param>
    /// <param name="samples">Samples run for it.</param>
    /// <param name="percentile">Share that <see cref="CalibrationMethod.Percentile"/> keeps.</param>
    /// <param name="bits">Bits that activations become.</param>
    public Calibration(IReadOnlyDictionary<string, TensorStatistics> statistics, int samples, double percentile = QuantizeOptions.DefaultPercentile, int bits = 8)
    {
        Bits = bits;
        Statistics = statistics;
        Samples = samples;
        _percentile = percentile;
    }

    /// <summary>Statistics of each float tensor asked for, by name.</summary>
    public IReadOnlyDictionary<string, TensorStatistics> Statistics { get; }

    /// <summary>Samples run.</summary>
    public int Samples { get; }

    /// <summary>Bits that activations become.</summary>
    public int Bits { get; }

    /// <summary>The range of a tensor that a method chooses; searched for once.</summary>
    public (double Minimum, double Maximum) Range(string tensor, CalibrationMethod method)
    {
        if (!_ranges.TryGetValue((tensor, method), out var range))
        {
            var statistics = Statistics[tensor];
            _ranges.Add((tensor, method), range = method switch
            {
                CalibrationMethod.MinMax => (statistics.Minimum, statistics.Maximum),
                CalibrationMethod.MovingAverage => statistics.MovingRange,
                CalibrationMethod.Percentile => PercentileRange.Of(statistics, _percentile),
                CalibrationMethod.Entropy => EntropyRange.Of(statistics, Bits),
                _ => RangeSearch.LeastSquares(statistics, Bits),
            });
        }
        return range;
    }

    /// <summary>These statistics, and another's of the tensors that are not among them.</summary>
    public Calibration With(Calibration other)
    {
        var all = new Dictionary<string, TensorStatistics>(other.Statistics, StringComparer.Ordinal);
        foreach (var (tensor, statistics) in Statistics)
            all[tensor] = statistics;
        return new Calibration(all, Samples, other._percentile, other.Bits);
    }

    /// <summary>
    /// Runs every sample through a copy of the network that returns the tensors too, one feed at a time, so that neither memory nor result depend on how many samples there are or on threads.
    /// </summary>
    /// <param name="model">The network.</param>
    /// <param name="tensors">Names of graph inputs and of node outputs of the outermost graph; those that are not float are left out.</param>
    /// <param name="dataset">The samples.</param>
    /// <param name="threads">Threads of an operator.</param>
    /// <param name="progress">Told the share done.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <param name="percentile">Share that <see cref="CalibrationMethod.Percentile"/> keeps.</param>
    /// <param name="bits">Bits that activations become.</param>
    public static Calibration Run(
        Model model, IReadOnlyCollection<string> tensors, Dataset dataset, int threads, Action<double> progress, CancellationToken cancellation, double percentile = QuantizeOptions.DefaultPercentile, int bits = 8)
    {
        var copy = OnnxFile.Read(OnnxFile.ToBytes(model));
        var known = copy.Graph.Outputs.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        var inputs = copy.Graph.RequiredInputs.Select(i => i.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var name in tensors.Where(t => !inputs.Contains(t) && !known.Contains(t)))
            copy.Graph.AddOutput(copy.Graph.Find(name) ?? throw new ArgumentException($"The network has no tensor '{name}'.", nameof(tensors)));
        // Nothing but the copy's own operators: what is measured must be there under its name.
        using var session = RuntimeSession.Open(OnnxFile.ToBytes(copy), GraphOptimizationLevel.ORT_DISABLE_ALL, threads, cancellation: cancellation);
        string[] asked = [.. tensors.Where(t => !inputs.Contains(t) && session.OutputType(t) == ElementType.Float)];
        var statistics = asked.Concat(tensors.Where(t => inputs.Contains(t) && session.Inputs.Single(i => i.Name == t).Type == ElementType.Float))
            .ToDictionary(t => t, _ => new TensorStatistics(), StringComparer.Ordinal);
        var bound = session.Bind(dataset);
        var samples = 0;
        foreach (var sample in bound.Samples())
        {
            foreach (var feed in sample.Feeds)
            {
                var fed = session.Fed(feed);
                for (var i = 0; i < fed.Count; i++)
                {
                    if (statistics.TryGetValue(session.Inputs[i].Name, out var seen))
                        seen.Add(fed[i].As<float>());
                }
                cancellation.ThrowIfCancellationRequested();
                if (asked.Length > 0 || bound.Carried.Count > 0)
                    session.Run(feed, asked, (index, _, _, bytes) => statistics[asked[index]].Add(MemoryMarshal.Cast<byte, float>(bytes)));
            }
            progress(++samples / (double)bound.Count);
        }
        if (statistics.FirstOrDefault(s => s.Value.NotFinite > 0) is { Key: { } tensor, Value: { } broken })
            throw new TransformRejectedException("not-finite", $"Cannot calibrate: {broken.NotFinite} values of the tensor '{tensor}' are NaN or infinite on this dataset. Check the scale of its samples, or exclude the operators that read it.");
        return new Calibration(statistics, samples, percentile, bits);
    }
}
