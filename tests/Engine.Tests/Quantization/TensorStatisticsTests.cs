using System.Text.Json.Nodes;
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

    [Fact]
    public void Averages_the_ranges_of_feeds_the_later_counting_more()
    {
        // Weights 0.9801, 0.99 and 1 of three feeds, by hand; what is merged comes later.
        const double all = 0.9801 + 0.99 + 1;
        var whole = Of([-1, 2], [-2, 3], [-4, 10]).MovingRange;
        Assert.Equal((0.9801 * -1) + (0.99 * -2) + -4, whole.Minimum * all, 9);
        Assert.Equal((0.9801 * 2) + (0.99 * 3) + 10, whole.Maximum * all, 9);
        var merged = Of([-1, 2]);
        merged.Merge(Of([-2, 3], [-4, 10]));
        Assert.Equal(whole.Minimum, merged.MovingRange.Minimum, 12);
        Assert.Equal(whole.Maximum, merged.MovingRange.Maximum, 12);
        Assert.Equal((0d, 0d), Of().MovingRange);
    }

    [Fact]
    public void Survives_being_written_and_read()
    {
        float[] first = [.. Gaussian(500, 1), 0, float.NaN], second = Gaussian(500, 2, 50);
        var read = TensorStatistics.FromJson(JsonNode.Parse(Of(first).ToJson().ToJsonString()));
        AssertSame(Of(first), read);
        Assert.Equal(Of(first).MovingRange, read.MovingRange);
        // What was read can be merged as what was seen.
        read.Merge(TensorStatistics.FromJson(Of(second).ToJson()));
        AssertSame(Of(first, second), read);
        AssertSame(Of(), TensorStatistics.FromJson(Of().ToJson()));
    }

    [Theory]
    [InlineData("minimum", "null")]
    [InlineData("maximum", "-100")]
    [InlineData("maximum", "1e300")]
    [InlineData("zeros", "-1")]
    [InlineData("feeds", "0")]
    [InlineData("binWidthExponent", "5000")]
    [InlineData("binWidthExponent", "-60")]
    [InlineData("bins", "[[2048,1]]")]
    [InlineData("bins", "[[1,9223372036854775807],[2,9223372036854775807]]")]
    [InlineData("bins", "7")]
    public void Refuses_what_it_did_not_write(string member, string value)
    {
        var json = Of([-1, 0, 1]).ToJson();
        json[member] = JsonNode.Parse(value);
        Assert.Throws<FormatException>(() => TensorStatistics.FromJson(json));
        json.Remove(member);
        Assert.Throws<FormatException>(() => TensorStatistics.FromJson(json));
    }

    [Theory]
    [InlineData(99)]
    [InlineData(95)]
    [InlineData(90.5)]
    public void Finds_the_percentiles_of_the_sorted_values(double percent)
    {
        float[] values = [.. Gaussian(5000, 3), .. Gaussian(5000, 4).Select(v => Math.Max(v, 0) * 3)];
        var statistics = Of(values);
        var (low, high) = PercentileRange.Of(statistics, percent);
        var sorted = values.Order().ToArray();
        var cut = (int)Math.Round(values.Length * (100 - percent) / 200);
        // A bin's content is not known closer than its width.
        Assert.Equal(sorted[cut], low, statistics.BinWidth);
        Assert.Equal(sorted[^(cut + 1)], high, statistics.BinWidth);
        Assert.Equal((statistics.Minimum, statistics.Maximum), PercentileRange.Of(statistics, 100));
    }

    [Fact]
    public void Gives_zeros_their_place_among_the_percentiles()
    {
        Assert.Equal((0d, 0d), PercentileRange.Of(Of([0, 0, 0, 0, 0, 0, 0, 0, 0, 5]), 70));
        Assert.Equal((0d, 0d), PercentileRange.Of(Of(), 99));
        Assert.Throws<ArgumentOutOfRangeException>(() => PercentileRange.Of(Of([1]), 0));
    }

    [Fact]
    public void Takes_the_threshold_of_the_least_divergence_of_all()
    {
        float[] values = [.. Gaussian(20_000, 5), 40];
        var statistics = Of(values);
        var magnitudes = new double[1024];
        foreach (var value in values)
            magnitudes[(int)(Math.Abs(value) / statistics.BinWidth)]++;
        // The definition, term by term: clip, round each group of bins to its mean over those that hold something, compare.
        double Divergence(int bins)
        {
            double[] kept = magnitudes[..bins], clipped = [.. kept];
            clipped[^1] += magnitudes[bins..].Sum();
            var rounded = Enumerable.Range(0, 128).SelectMany(level =>
            {
                var group = kept[(level * bins / 128)..((level + 1) * bins / 128)];
                return group.Select(g => g > 0 ? group.Sum() / group.Count(x => x > 0) : 0);
            }).ToArray();
            return clipped.Zip(rounded, (p, q) => p == 0 ? 0 : p / clipped.Sum() * Math.Log(p / clipped.Sum() / Math.Max(q / rounded.Sum(), 1e-4 / bins))).Sum();
        }
        var best = Enumerable.Range(128, 1024 - 128 + 1).Where(b => magnitudes[..b].Sum() > 0).MinBy(Divergence);
        var (low, high) = EntropyRange.Of(statistics);
        Assert.Equal(best * statistics.BinWidth, high, 9);
        // It clips the outlier, and keeps what most values need.
        Assert.InRange(high, 2.5, 20);
        Assert.Equal(Math.Max(statistics.Minimum, -high), low, 9);
    }

    [Fact]
    public void Clips_nothing_where_all_magnitudes_are_as_frequent()
    {
        var uniform = Enumerable.Range(0, 100_000).Select(i => (i / 50_000f) - 1 + 1e-5f).ToArray();
        var (low, high) = EntropyRange.Of(Of(uniform));
        Assert.InRange(high, 0.97, 1);
        Assert.InRange(low, -1, -0.97);
        Assert.Equal((0d, 0d), EntropyRange.Of(Of([0, 0])));
    }

    [Theory]
    [InlineData(-1, 1, 0)]
    [InlineData(-0.5, 1, 0.25)]
    [InlineData(-1, 0.25, 0.375)]
    [InlineData(-0.125, 0.125, 0.875)]
    [InlineData(2, 3, 1)]
    public void Knows_the_share_outside_of_a_range(double minimum, double maximum, double expected)
    {
        var statistics = new TensorStatistics();
        statistics.Add([.. Enumerable.Range(0, 10_001).Select(i => (i / 5000f) - 1)]);
        Assert.Equal(expected, statistics.ShareOutside(minimum, maximum), 2e-3);
        if (expected == 0)
            Assert.Equal(0, statistics.ShareOutside(minimum, maximum));
    }

    [Fact]
    public void Counts_zeros_as_outside_only_of_a_range_without_zero()
    {
        var statistics = new TensorStatistics();
        statistics.Add([0, 0, 0, 4]);
        Assert.Equal((0.25, 0.75, 0), (statistics.ShareOutside(-1, 1), statistics.ShareOutside(3, 5), new TensorStatistics().ShareOutside(-1, 1)));
    }

    [Fact]
    public void Outlines_what_it_saw_in_equal_parts()
    {
        var statistics = new TensorStatistics();
        statistics.Add([-1, -1, 0, 0.5f, 3]);
        Assert.Equal([0.4, 0.4, 0, 0.2], statistics.Outline(4).Select(s => Math.Round(s, 9)));
        Assert.Equal([0d, 0], new TensorStatistics().Outline(2));
        Assert.Throws<ArgumentOutOfRangeException>(() => statistics.Outline(0));
    }
}
