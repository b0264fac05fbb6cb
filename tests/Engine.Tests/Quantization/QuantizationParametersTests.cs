using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Quantization;

namespace TinyMLaaS.Engine.Tests.Quantization;

public sealed class QuantizationParametersTests
{
    [Theory]
    [InlineData(0, 255, ElementType.UInt8, 1f, 0)]
    [InlineData(-1, 1.55, ElementType.UInt8, 0.01f, 100)]
    [InlineData(-128, 127, ElementType.Int8, 1f, 0)]
    [InlineData(0, 6, ElementType.Int8, 6f / 255, -128)]
    [InlineData(2, 5.1, ElementType.UInt8, 0.02f, 0)]
    [InlineData(-5.1, -2, ElementType.UInt8, 0.02f, 255)]
    [InlineData(-0.5, 254.5, ElementType.UInt8, 1f, 0)]
    [InlineData(-1.5, 253.5, ElementType.UInt8, 1f, 2)]
    [InlineData(0, 0, ElementType.UInt8, 1f, 0)]
    [InlineData(0, 1e-44, ElementType.UInt8, 1f, 0)]
    public void Spreads_a_range_that_holds_zero_over_the_type(double minimum, double maximum, ElementType type, float scale, int zeroPoint)
    {
        var parameters = QuantizationParameters.Asymmetric(minimum, maximum, type);
        Assert.Equal(scale, parameters.Scale);
        Assert.Equal(zeroPoint, parameters.ZeroPoint);
    }

    [Fact]
    public void Uses_equal_reach_on_both_sides_when_symmetric()
    {
        Assert.Equal(new QuantizationParameters(2f, 0, ElementType.Int8), QuantizationParameters.Symmetric(254));
        Assert.Equal(new QuantizationParameters(2f, 128, ElementType.UInt8), QuantizationParameters.Symmetric(254, ElementType.UInt8));
        Assert.Equal(1f, QuantizationParameters.Symmetric(0).Scale);
    }

    [Theory]
    [InlineData(0.5f, 10)]
    [InlineData(1.5f, 12)]
    [InlineData(2.5f, 12)]
    [InlineData(-0.5f, 10)]
    [InlineData(1e30f, 255)]
    [InlineData(float.NegativeInfinity, 0)]
    [InlineData(float.NaN, 10)]
    public void Rounds_half_to_even_and_saturates(float value, int expected) =>
        Assert.Equal(expected, new QuantizationParameters(1, 10, ElementType.UInt8).Quantize(value));

    [Fact]
    public void Brings_every_integer_back()
    {
        var parameters = QuantizationParameters.Asymmetric(-0.37, 1.9);
        for (var q = 0; q <= 255; q++)
            Assert.Equal(q, parameters.Quantize(parameters.Dequantize(q)));
        Assert.Equal(0f, parameters.Dequantize(parameters.ZeroPoint));
    }

    [Fact]
    public void Refuses_what_is_no_finite_range_of_8_bits()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => QuantizationParameters.Asymmetric(double.NaN, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => QuantizationParameters.Asymmetric(1, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => QuantizationParameters.Asymmetric(-1e300, 1e300));
        Assert.Throws<ArgumentOutOfRangeException>(() => QuantizationParameters.Symmetric(1, ElementType.Int16));
    }
}
