using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime.Evaluate;

/// <summary>Measures a network on a dataset, one sample in memory at a time.</summary>
public static class Evaluation
{
    /// <summary>Measures one network.</summary>
    /// <param name="model">An ONNX file's bytes.</param>
    /// <param name="dataset">Samples; labels where the metric needs them.</param>
    /// <param name="metric">What to measure.</param>
    /// <param name="reference">The network to compare with, for <see cref="Metric.Sqnr"/> and <see cref="Metric.Agreement"/>.</param>
    /// <param name="threads">Threads of an operator; the value does not depend on it.</param>
    /// <param name="progress">Told the share done after each sample.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="TransformRejectedException">What <see cref="OnnxFile.Read(ReadOnlyMemory{byte})"/> refuses, tensors in other files among it; <c>invalid-dataset</c>, <c>model-not-runnable</c>, <c>missing-reference</c>: the metric compares, and there is nothing to compare with; <c>unsuitable-metric</c>: the network's outputs do not suit the metric.</exception>
    public static EvaluationResult Measure(
        byte[] model, Dataset dataset, Metric metric, byte[]? reference = null, int threads = 1, Action<double>? progress = null, CancellationToken cancellation = default)
    {
        var isComparison = metric is Metric.Sqnr or Metric.Agreement;
        if (isComparison && reference is null)
        {
            throw new TransformRejectedException("missing-reference",
                $"The metric '{Metrics.Name(metric)}' compares a network with the one it was made from, and no such network is given here. Use 'top1', 'auc-mse' or 'mse', or compare two networks.");
        }
        RefuseOtherFiles(model, reference);
        using var session = RuntimeSession.Open(model, threads: threads, cancellation: cancellation);
        using var other = isComparison ? RuntimeSession.Open(reference!, threads: threads, cancellation: cancellation) : null;
        var bound = session.Bind(dataset);
        if (other is not null)
            other.Bind(dataset);
        if (metric is Metric.Top1 or Metric.AucMse && !bound.HasLabels)
            throw new TransformRejectedException("invalid-dataset", $"The metric '{Metrics.Name(metric)}' needs labels, and the dataset '{dataset.Path}' has none. Add 'labels:' to its yaml.");
        var measure = Metrics.Start(metric, bound.Window?.Reduce ?? WindowReduce.Mean);
        var samples = Feed(session, other, bound, [measure], progress);
        return new EvaluationResult(metric, measure.Value(), samples);
    }

    /// <summary>Compares a network with a reference on the same samples, in one pass.</summary>
    /// <param name="model">An ONNX file's bytes.</param>
    /// <param name="reference">Another one's, with the same inputs and outputs.</param>
    /// <param name="dataset">Samples; labels are not used.</param>
    /// <param name="progress">Told the share done after each sample.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="TransformRejectedException">As <see cref="Measure"/>, and <c>different-inputs</c>.</exception>
    public static Comparison Compare(byte[] model, byte[] reference, Dataset dataset, Action<double>? progress = null, CancellationToken cancellation = default)
    {
        RefuseOtherFiles(model, reference);
        using var session = RuntimeSession.Open(model, cancellation: cancellation);
        using var other = RuntimeSession.Open(reference, cancellation: cancellation);
        var (names, expected) = (session.Inputs.Select(i => i.Name).ToArray(), other.Inputs.Select(i => i.Name).ToArray());
        if (!names.SequenceEqual(expected))
            throw new TransformRejectedException("different-inputs", $"Cannot compare networks with different inputs: one takes {string.Join(", ", names)}, the other {string.Join(", ", expected)}.");
        var bound = session.Bind(dataset);
        other.Bind(dataset);
        var reduce = bound.Window?.Reduce ?? WindowReduce.Mean;
        var (sqnr, agreement, difference) = (Metrics.Start(Metric.Sqnr, reduce), Metrics.Start(Metric.Agreement, reduce), Metrics.StartLargestDifference());
        var samples = Feed(session, other, bound, [sqnr, agreement, difference], progress);
        return new Comparison(sqnr.Value(), agreement.Value(), difference.Value(), samples);
    }

    /// <summary>ONNX Runtime looks for tensors kept in other files where the process runs; our reader refuses them in bytes that have no folder.</summary>
    private static void RefuseOtherFiles(params ReadOnlySpan<byte[]?> models)
    {
        foreach (var model in models)
        {
            if (model is not null)
                OnnxFile.Read(model);
        }
    }

    private static int Feed(RuntimeSession session, RuntimeSession? reference, BoundDataset bound, IReadOnlyList<Metrics> measures, Action<double>? progress)
    {
        var samples = 0;
        foreach (var sample in bound.Samples())
        {
            foreach (var feed in sample.Feeds)
            {
                var (outputs, expected) = (session.Run(feed), reference?.Run(feed));
                foreach (var measure in measures)
                    measure.Add(feed, outputs, expected);
            }
            foreach (var measure in measures)
                measure.Finish(sample.Label);
            samples++;
            progress?.Invoke(samples / (double)bound.Count);
        }
        return samples;
    }

    /// <summary>The values of a float tensor.</summary>
    internal static double[] Values(Tensor tensor, string what) => tensor.Type switch
    {
        ElementType.Float => [.. tensor.As<float>().ToArray().Select(v => (double)v)],
        ElementType.Double => tensor.As<double>().ToArray(),
        ElementType.Float16 => [.. tensor.As<Half>().ToArray().Select(v => (double)v)],
        _ => throw new TransformRejectedException("unsuitable-metric", $"The {what} is {tensor.Type}; metrics take floating-point numbers."),
    };
}
