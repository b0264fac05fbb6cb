using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.Tests.Quantization;

public sealed class QuantizedWeightTests
{
    [Fact]
    public void Takes_the_scales_of_the_least_squared_error_if_asked()
    {
        var random = new Random(2);
        float[] weights = [.. Enumerable.Range(0, 600).Select(_ => MathF.Pow((random.NextSingle() * 2) - 1, 3))];
        double Error(int row, double scale) => weights.Skip(row * 200).Take(200).Sum(w => Math.Pow(w - (Math.Clamp(Math.Round(w / scale), -7, 7) * scale), 2));
        var whole = QuantizedWeight.Of(weights, [3, 200], 0, 7);
        var best = QuantizedWeight.Of(weights, [3, 200], 0, 7, isLeastSquares: true);
        for (var row = 0; row < 3; row++)
        {
            // Every scale between half and the whole one, in steps ten times as fine.
            var least = Enumerable.Range(0, 251).Min(i => Error(row, whole.Scales[row] * (0.5 + (i / 500d))));
            Assert.InRange(Error(row, best.Scales[row]), least, least * 1.02);
            Assert.InRange(Error(row, best.Scales[row]), 0, Error(row, whole.Scales[row]) * 0.9);
        }
    }

    [Theory]
    [InlineData(0, new[] { 1f, 0.5f }, new sbyte[] { 127, -64, 0, 127, 2, -127 })]
    [InlineData(1, new[] { 1f, 0.5f, 0.5f }, new sbyte[] { 127, -127, 0, 64, 2, -127 })]
    [InlineData(null, new[] { 1f }, new sbyte[] { 127, -64, 0, 64, 1, -64 })]
    public void Scales_each_slice_by_its_largest_magnitude(int? axis, float[] scales, sbyte[] integers)
    {
        var weight = QuantizedWeight.Of([127, -63.5f, 0, 63.5f, 1, -63.5f], [2, 3], axis);
        Assert.Equal(scales, weight.Scales);
        Assert.Equal(integers, weight.Integers.ToArray());
    }

    [Fact]
    public void Gives_a_slice_of_zeros_a_scale_of_the_others_size()
    {
        Assert.Equal([2f, 2], QuantizedWeight.Of([0, 0, 254, 1], [2, 2], 0).Scales);
        Assert.Equal([1f, 1], QuantizedWeight.Of([0, 0], [2, 1], 0).Scales);
    }

    [Fact]
    public void Puts_the_bias_on_the_grid_of_the_products()
    {
        var weight = QuantizedWeight.Of([127, 254], [2, 1], 0);
        Assert.Equal([200, -12], weight.QuantizeBias([100, -12.4f], 0.5f));
        Assert.Equal(0, weight.RaisedScales);
    }

    [Fact]
    public void Raises_the_scale_of_a_channel_whose_bias_would_overflow()
    {
        var weight = QuantizedWeight.Of([1e-8f, 127], [2, 1], 0);
        var bias = weight.QuantizeBias([100, 1], 1e-3f);
        Assert.Equal(1, weight.RaisedScales);
        Assert.InRange(bias[0], (1 << 30) - 1000, 1 << 30);
        Assert.Equal(100, bias[0] * (1e-3 * weight.Scales[0]), 3);
        Assert.Equal((1f, 1000), (weight.Scales[1], bias[1]));
        Assert.Equal([0, 127], weight.Integers.ToArray().Select(i => (int)i));
    }

    [Fact]
    public void Measures_what_rounding_lost()
    {
        // 127 and 0.25 at scale 1: the error is 0.25, so 10 log10((127^2 + 0.25^2) / 0.25^2).
        Assert.Equal(10 * Math.Log10((16129 + 0.0625) / 0.0625), QuantizedWeight.Of([127, 0.25f], [2], null).SignalToNoise, 9);
        Assert.Equal(double.PositiveInfinity, QuantizedWeight.Of([127, 1], [2], null).SignalToNoise);
    }

    [Fact]
    public void Refuses_weights_that_are_not_finite() =>
        Assert.Throws<ArgumentException>(() => QuantizedWeight.Of([1, float.NaN], [2], null));
}
