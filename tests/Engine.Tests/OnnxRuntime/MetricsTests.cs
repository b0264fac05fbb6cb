using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

public sealed class MetricsTests
{
    private static Tensor[] Row(params float[] values) => [Tensor.From<float>([1, values.Length], values)];

    [Theory]
    [InlineData(Metric.Top1, "top1")]
    [InlineData(Metric.AucMse, "auc-mse")]
    [InlineData(Metric.Mse, "mse")]
    [InlineData(Metric.Sqnr, "sqnr")]
    [InlineData(Metric.Agreement, "agreement")]
    public void Has_the_names_of_the_interface(Metric metric, string name) => Assert.Equal(name, Metrics.Name(metric));

    [Fact]
    public void Counts_labels_at_the_largest_output_of_the_pooled_windows()
    {
        foreach (var (reduce, expected) in new[] { (WindowReduce.Mean, 0.5), (WindowReduce.Max, 1.0) })
        {
            var top1 = Metrics.Start(Metric.Top1, reduce);
            // Mean (3, 4), largest (6, 5).
            top1.Add(Row(0), Row(0, 5), null);
            top1.Add(Row(0), Row(6, 3), null);
            top1.Finish(0);
            top1.Add(Row(0), Row(1, 2), null);
            top1.Finish(1);
            Assert.Equal(expected, top1.Value());
        }
    }

    [Fact]
    public void Counts_samples_on_which_two_networks_agree()
    {
        var agreement = Metrics.Start(Metric.Agreement, WindowReduce.Mean);
        foreach (var (own, other) in new[] { (Row(1, 2), Row(3, 4)), (Row(1, 2), Row(4, 3)), (Row(2, 1), Row(4, 3)) })
        {
            agreement.Add(Row(0), own, other);
            agreement.Finish(null);
        }
        Assert.Equal(2 / 3.0, agreement.Value());
    }

    [Fact]
    public void Gives_the_area_under_the_curve_that_counting_pairs_gives()
    {
        var random = new Random(3);
        // Few distinct scores, so that ties are common.
        (double Score, bool IsPositive)[] scored = [.. Enumerable.Range(0, 60).Select(_ => (Math.Floor(random.NextDouble() * 12), random.Next(3) == 0))];
        var pairs = from p in scored where p.IsPositive from n in scored where !n.IsPositive select p.Score > n.Score ? 1 : p.Score == n.Score ? 0.5 : 0;
        Assert.Equal(pairs.Average(), Metrics.AreaUnderCurve(scored), 12);
        Assert.Equal((1, 0), (Metrics.AreaUnderCurve([(1, false), (2, true)]), Metrics.AreaUnderCurve([(2, false), (1, true)])));
    }

    [Fact]
    public void Scores_a_sample_by_the_reconstruction_error_of_its_windows()
    {
        foreach (var (reduce, expected) in new[] { (WindowReduce.Mean, (2.5 + 0.5) / 2), (WindowReduce.Max, 2.5) })
        {
            var mse = Metrics.Start(Metric.Mse, reduce);
            mse.Add(Row(0, 0), Row(1, 2), null);
            mse.Add(Row(1, 1), Row(1, 2), null);
            mse.Finish(null);
            Assert.Equal(expected, mse.Value());
        }
    }

    [Fact]
    public void Pools_signal_and_noise_over_outputs_and_samples()
    {
        var sqnr = Metrics.Start(Metric.Sqnr, WindowReduce.Mean);
        sqnr.Add(Row(0), [.. Row(3, 4), .. Row(9)], [.. Row(3, 5), .. Row(10)]);
        sqnr.Add(Row(0), [.. Row(1, 1), .. Row(1)], [.. Row(1, 1), .. Row(1)]);
        Assert.Equal(10 * Math.Log10((9 + 25 + 100 + 3) / 2.0), sqnr.Value(), 12);
        var same = Metrics.Start(Metric.Sqnr, WindowReduce.Mean);
        same.Add(Row(0), Row(1), Row(1));
        Assert.Equal(200, same.Value());
    }

    [Fact]
    public void Refuses_outputs_and_labels_that_the_metric_cannot_take()
    {
        void Refuses(string code, string says, Action act)
        {
            var refusal = Assert.Throws<TransformRejectedException>(act);
            Assert.Equal(code, refusal.Code);
            Assert.Contains(says, refusal.Message, StringComparison.Ordinal);
        }
        Refuses("unsuitable-metric", "2 and 1 elements", () => Metrics.Start(Metric.Mse, WindowReduce.Mean).Add(Row(0), Row(1, 2), null));
        Refuses("unsuitable-metric", "is Int64", () => Metrics.Start(Metric.Top1, WindowReduce.Mean).Add(Row(0), [Tensor.Vector(1L)], null));
        Refuses("unsuitable-metric", "Output 0 has 1 elements and the reference's 2", () => Metrics.Start(Metric.Sqnr, WindowReduce.Mean).Add(Row(0), Row(1), Row(1, 2)));
        Refuses("invalid-dataset", "sample 0 has 2", () => Metrics.Start(Metric.AucMse, WindowReduce.Mean).Finish(2));
        Refuses("invalid-dataset", "the dataset has 2 and 0", () => Metrics.AreaUnderCurve([(1, false), (2, false)]));
    }
}
