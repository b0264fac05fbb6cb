using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.Tests.Quantization;

public sealed class TensorStatisticsTests
{
    private static float[] Gaussian(int count, int seed, double sigma = 1)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(sigma * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }

    private static TensorStatistics Of(params float[][] batches)
    {
        var statistics = new TensorStatistics();
        foreach (var batch in batches)
            statistics.Add(batch);
        return statistics;
    }

    private static void AssertSame(TensorStatistics expected, TensorStatistics actual)
    {
        Assert.Equal((expected.Count, expected.NotFinite, expected.Zeros, expected.Minimum, expected.Maximum, expected.BinWidth), (actual.Count, actual.NotFinite, actual.Zeros, actual.Minimum, actual.Maximum, actual.BinWidth));
        Assert.Equal(expected.Histogram.ToArray(), actual.Histogram.ToArray());
    }

    [Fact]
    public void Counts_values_into_bins_around_zero()
    {
        var statistics = Of([-1024, -1, 0, 0.5f, 1, 1.99f, 1023.9f, float.NaN, float.PositiveInfinity]);
        Assert.Equal((1d, -1024d, 7L, 2L, 1L), (statistics.BinWidth, statistics.Minimum, statistics.Count, statistics.NotFinite, statistics.Zeros));
        Assert.Equal(1023.9, statistics.Maximum, 3);
        var filled = statistics.Histogram.ToArray().Select((n, i) => (Bin: i - 1024, n)).Where(b => b.n > 0);
        Assert.Equal([(-1024, 1L), (-1, 1L), (0, 1L), (1, 2L), (1023, 1L)], filled);
    }

    [Fact]
    public void Sees_the_same_in_any_order_and_grouping()
    {
        float[] small = Gaussian(1000, 1, 1e-3), medium = Gaussian(1000, 2), large = Gaussian(1000, 3, 1e4);
        var expected = Of([.. small, .. medium, .. large]);
        AssertSame(expected, Of(large, small, medium));
        AssertSame(expected, Of(small, medium, large));
        foreach (var (first, second) in new[] { (Of(small), Of(medium, large)), (Of(large), Of(medium, small)), (Of(), Of(small, medium, large)), (Of(small, medium, large), Of()) })
        {
            first.Merge(second);
            AssertSame(expected, first);
        }
    }

    [Fact]
    public void Keeps_the_outermost_values_when_bins_are_joined()
    {
        var statistics = Of([-1024, -1023.5f, 1023.5f, 1022.5f], [2047]);
        Assert.Equal(2, statistics.BinWidth);
        var filled = statistics.Histogram.ToArray().Select((n, i) => (Bin: i - 1024, n)).Where(b => b.n > 0);
        Assert.Equal([(-512, 2L), (511, 2L), (1023, 1L)], filled);
    }

    [Fact]
    public void Is_empty_for_zeros_and_for_what_is_not_finite()
    {
        Assert.Equal((3L, 3L, 0d, 0d), (Of([0, 0, 0]).Count, Of([0, 0, 0]).Zeros, Of([0]).Minimum, Of([0]).Maximum));
        Assert.Equal((0L, 1L), (Of([float.NaN]).Count, Of([float.NaN]).NotFinite));
    }

    [Theory]
    [InlineData(-3, 4)]
    [InlineData(0, 2.5)]
    [InlineData(-1, 0.3)]
    public void Expects_the_error_that_quantizing_every_value_has(double minimum, double maximum)
    {
        var values = Gaussian(200_000, 7);
        var parameters = QuantizationParameters.Asymmetric(minimum, maximum);
        var measured = values.Average(v => Math.Pow(v - parameters.Dequantize(parameters.Quantize(v)), 2));
        // The bins are a quarter of a step or wider; within a bin the density of a Gaussian is even to well under 1 %.
        Assert.InRange(RangeSearch.ExpectedError(Of(values), parameters) / measured, 0.99, 1.01);
    }

    [Fact]
    public void Finds_the_range_that_a_search_over_the_values_finds()
    {
        // Rectified, with rare outliers: the best range clips them.
        var values = Gaussian(20_000, 11).Select(v => Math.Max(v, 0)).Append(30).ToArray();
        var (low, high) = RangeSearch.LeastSquares(Of(values));
        double Error(double maximum)
        {
            var parameters = QuantizationParameters.Asymmetric(0, maximum);
            return values.Average(v => Math.Pow(v - parameters.Dequantize(parameters.Quantize((float)v)), 2));
        }
        var best = Enumerable.Range(20, 81).Select(share => 30 * share / 100d).Min(Error);
        Assert.Equal(0, low);
        Assert.InRange(Error(high) / best, 1, 1.02);
    }

    [Fact]
    public void Keeps_the_whole_range_when_clipping_costs_more()
    {
        var uniform = Enumerable.Range(0, 10_000).Select(i => (i / 5000f) - 1).ToArray();
        var (low, high) = RangeSearch.LeastSquares(Of(uniform));
        Assert.InRange(low, -1, -0.97);
        Assert.InRange(high, 0.97, 1);
    }
}
