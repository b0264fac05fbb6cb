using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
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
    /// <exception cref="TransformRejectedException"><c>invalid-dataset</c>, <c>model-not-runnable</c>, <c>missing-reference</c>: the metric compares, and there is nothing to compare with; <c>unsuitable-metric</c>: the network's outputs do not suit the metric.</exception>
    public static EvaluationResult Measure(
        byte[] model, Dataset dataset, Metric metric, byte[]? reference = null, int threads = 1, Action<double>? progress = null, CancellationToken cancellation = default)
    {
        var isComparison = metric is Metric.Sqnr or Metric.Agreement;
        if (isComparison && reference is null)
        {
            throw new TransformRejectedException("missing-reference",
                $"The metric '{Metrics.Name(metric)}' compares a network with the one it was made from, and no such network is given here. Use 'top1', 'auc-mse' or 'mse', or compare two networks.");
        }
        using var session = RuntimeSession.Open(model, threads: threads, cancellation: cancellation);
        using var other = isComparison ? RuntimeSession.Open(reference!, threads: threads, cancellation: cancellation) : null;
        var bound = dataset.Bind(session.Inputs);
        if (metric is Metric.Top1 or Metric.AucMse && !bound.HasLabels)
            throw new TransformRejectedException("invalid-dataset", $"The metric '{Metrics.Name(metric)}' needs labels, and the dataset '{dataset.Path}' has none. Add 'labels:' to its yaml.");
        var measure = Metrics.Start(metric, bound.Window?.Reduce ?? WindowReduce.Mean);
        var samples = 0;
        foreach (var sample in bound.Samples())
        {
            foreach (var feed in sample.Feeds)
                measure.Add(feed, session.Run(feed), other?.Run(feed));
            measure.Finish(sample.Label);
            samples++;
            progress?.Invoke(samples / (double)bound.Count);
        }
        return new EvaluationResult(metric, measure.Value(), samples);
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
