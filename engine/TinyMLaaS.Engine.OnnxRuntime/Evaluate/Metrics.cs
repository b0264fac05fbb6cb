using System.Text.Json;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime.Evaluate;

/// <summary>The metrics' arithmetic: told of each feed's outputs, then of the end of a sample.</summary>
internal abstract class Metrics
{
    public static string Name(Metric metric) => JsonNamingPolicy.KebabCaseLower.ConvertName(metric.ToString());

    public static Metrics Start(Metric metric, WindowReduce reduce) => metric switch
    {
        Metric.Top1 => new Hits(reduce, againstReference: false),
        Metric.Agreement => new Hits(reduce, againstReference: true),
        Metric.AucMse => new Auc(reduce),
        Metric.Mse => new MeanSquare(reduce),
        _ => new SignalToNoise(),
    };

    public static Metrics StartLargestDifference() => new LargestDifference();

    public abstract void Add(IReadOnlyList<Tensor> feed, IReadOnlyList<Tensor> outputs, IReadOnlyList<Tensor>? reference);

    public abstract void Finish(long? label);

    public abstract double Value();

    /// <summary>Area under the ROC curve by ranks (Mann-Whitney); equal scores count half.</summary>
    public static double AreaUnderCurve(IReadOnlyList<(double Score, bool IsPositive)> scored)
    {
        var ordered = scored.OrderBy(s => s.Score).ToArray();
        double ranks = 0;
        long positives = 0;
        for (var start = 0; start < ordered.Length;)
        {
            var end = start;
            while (end < ordered.Length && ordered[end].Score == ordered[start].Score)
                end++;
            var among = ordered[start..end].Count(s => s.IsPositive);
            positives += among;
            // Ranks count from 1; ties share the mean of theirs.
            ranks += among * ((start + 1 + end) / 2d);
            start = end;
        }
        var negatives = ordered.Length - positives;
        return positives == 0 || negatives == 0
            ? throw new TransformRejectedException("invalid-dataset", $"The metric 'auc-mse' needs samples of both kinds, label 0 and label 1; the dataset has {negatives} and {positives}.")
            : (ranks - (positives * (positives + 1) / 2d)) / (positives * (double)negatives);
    }

    private static double ReconstructionError(IReadOnlyList<Tensor> feed, IReadOnlyList<Tensor> outputs)
    {
        var input = Evaluation.Values(feed[0], "network's first input");
        var output = Evaluation.Values(outputs[0], "network's first output");
        if (input.Length != output.Length || input.Length == 0)
            throw new TransformRejectedException("unsuitable-metric", $"The reconstruction error needs a first output as large as the first input; they have {output.Length} and {input.Length} elements.");
        return input.Zip(output).Sum(p => (p.First - p.Second) * (p.First - p.Second)) / input.Length;
    }

    private static IEnumerable<(double[] Expected, double[] Got)> Pairs(IReadOnlyList<Tensor> outputs, IReadOnlyList<Tensor> reference)
    {
        if (outputs.Count != reference.Count)
            throw new TransformRejectedException("unsuitable-metric", $"The network has {outputs.Count} outputs and the reference {reference.Count}; networks that are compared must give the same.");
        for (var i = 0; i < reference.Count; i++)
        {
            var expected = Evaluation.Values(reference[i], $"reference's output {i}");
            var got = Evaluation.Values(outputs[i], $"network's output {i}");
            yield return expected.Length == got.Length ? (expected, got) : throw new TransformRejectedException(
                "unsuitable-metric", $"Output {i} has {got.Length} elements and the reference's {expected.Length}; networks that are compared must give the same.");
        }
    }

    private sealed class Scores(WindowReduce reduce)
    {
        private double _sum;
        private double _largest = double.NegativeInfinity;
        private int _count;

        public void Add(double score)
        {
            _sum += score;
            _largest = Math.Max(_largest, score);
            _count++;
        }

        public double Take()
        {
            var result = reduce == WindowReduce.Max ? _largest : _sum / _count;
            (_sum, _largest, _count) = (0, double.NegativeInfinity, 0);
            return result;
        }
    }

    private sealed class Hits(WindowReduce reduce, bool againstReference) : Metrics
    {
        private double[]? _own;
        private double[]? _reference;
        private long _hits;
        private long _samples;

        public override void Add(IReadOnlyList<Tensor> feed, IReadOnlyList<Tensor> outputs, IReadOnlyList<Tensor>? reference)
        {
            Pool(ref _own, Evaluation.Values(outputs[0], "network's first output"));
            if (againstReference)
                Pool(ref _reference, Evaluation.Values(reference![0], "reference's first output"));
        }

        public override void Finish(long? label)
        {
            _hits += Largest(_own!) == (againstReference ? Largest(_reference!) : label!.Value) ? 1 : 0;
            _samples++;
            (_own, _reference) = (null, null);
        }

        public override double Value() => (double)_hits / _samples;

        // Sums stand for means here: only the place of the largest counts.
        private void Pool(ref double[]? pooled, double[] values) =>
            pooled = pooled is null ? values : [.. pooled.Zip(values, (a, b) => reduce == WindowReduce.Max ? Math.Max(a, b) : a + b)];

        private static long Largest(double[] values) => Array.IndexOf(values, values.Max());
    }

    private sealed class Auc(WindowReduce reduce) : Metrics
    {
        private readonly Scores _scores = new(reduce);
        private readonly List<(double, bool)> _scored = [];

        public override void Add(IReadOnlyList<Tensor> feed, IReadOnlyList<Tensor> outputs, IReadOnlyList<Tensor>? reference) => _scores.Add(ReconstructionError(feed, outputs));

        public override void Finish(long? label)
        {
            if (label is not (0 or 1))
                throw new TransformRejectedException("invalid-dataset", $"The metric 'auc-mse' takes the labels 0 (normal) and 1 (anomalous); sample {_scored.Count} has {label}.");
            _scored.Add((_scores.Take(), label == 1));
        }

        public override double Value() => AreaUnderCurve(_scored);
    }

    private sealed class MeanSquare(WindowReduce reduce) : Metrics
    {
        private readonly Scores _scores = new(reduce);
        private double _sum;
        private long _samples;

        public override void Add(IReadOnlyList<Tensor> feed, IReadOnlyList<Tensor> outputs, IReadOnlyList<Tensor>? reference) => _scores.Add(ReconstructionError(feed, outputs));

        public override void Finish(long? label)
        {
            _sum += _scores.Take();
            _samples++;
        }

        public override double Value() => _sum / _samples;
    }

    private sealed class SignalToNoise : Metrics
    {
        private double _signal;
        private double _noise;

        public override void Add(IReadOnlyList<Tensor> feed, IReadOnlyList<Tensor> outputs, IReadOnlyList<Tensor>? reference)
        {
            foreach (var (expected, got) in Pairs(outputs, reference!))
            {
                for (var i = 0; i < expected.Length; i++)
                {
                    _signal += expected[i] * expected[i];
                    _noise += (expected[i] - got[i]) * (expected[i] - got[i]);
                }
            }
        }

        public override void Finish(long? label)
        {
        }

        // Equal outputs have no noise; 200 dB is beyond what 32-bit floats can show and stays a number in JSON. So does -200 for a signal of nothing.
        public override double Value() => _noise == 0 ? 200 : Math.Clamp(10 * Math.Log10(_signal / _noise), -200, 200);
    }

    /// <summary>The largest difference of any two elements of the outputs.</summary>
    private sealed class LargestDifference : Metrics
    {
        private double _largest;

        public override void Add(IReadOnlyList<Tensor> feed, IReadOnlyList<Tensor> outputs, IReadOnlyList<Tensor>? reference)
        {
            foreach (var (expected, got) in Pairs(outputs, reference!))
            {
                for (var i = 0; i < expected.Length; i++)
                    _largest = Math.Max(_largest, Math.Abs(expected[i] - got[i]));
            }
        }

        public override void Finish(long? label)
        {
        }

        public override double Value() => _largest;
    }
}
