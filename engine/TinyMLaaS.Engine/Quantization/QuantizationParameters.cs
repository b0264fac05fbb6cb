using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Quantization;

/// <summary>
/// How real values become integers of 8 bits or less: <c>q = saturate(round_half_even(x / Scale) + ZeroPoint)</c>, <c>x ~ (q - ZeroPoint) * Scale</c>,
/// as ONNX's QuantizeLinear defines it.
/// </summary>
/// <param name="Scale">Real distance of two neighbouring integers, positive.</param>
/// <param name="ZeroPoint">The integer that stands for 0 exactly.</param>
/// <param name="Type"><see cref="ElementType.UInt8"/> or <see cref="ElementType.Int8"/>.</param>
/// <param name="Bits">Bits that are used of the type, from 2 to 8.</param>
public readonly record struct QuantizationParameters(float Scale, int ZeroPoint, ElementType Type, int Bits = 8)
{
    /// <summary>Smallest integer that is used.</summary>
    public int MinimumInteger => Type == ElementType.UInt8 ? 0 : -(1 << (Bits - 1));

    /// <summary>Largest integer that is used.</summary>
    public int MaximumInteger => Type == ElementType.UInt8 ? (1 << Bits) - 1 : (1 << (Bits - 1)) - 1;

    /// <summary>Smallest real value that is kept; what lies below saturates.</summary>
    public double Minimum => (double)Scale * (MinimumInteger - ZeroPoint);

    /// <summary>Largest real value that is kept; what lies above saturates.</summary>
    public double Maximum => (double)Scale * (MaximumInteger - ZeroPoint);

    /// <summary>
    /// Parameters that use all integers for a range, extended to hold 0. Computed in double and stored as float; a range too narrow for a float's scale gets scale 1.
    /// </summary>
    /// <param name="minimum">Smallest value, finite.</param>
    /// <param name="maximum">Largest value, finite, not below <paramref name="minimum"/>.</param>
    /// <param name="type"><see cref="ElementType.UInt8"/> or <see cref="ElementType.Int8"/>.</param>
    /// <param name="bits">Bits to use of the type.</param>
    public static QuantizationParameters Asymmetric(double minimum, double maximum, ElementType type = ElementType.UInt8, int bits = 8)
    {
        Check(minimum, maximum, type);
        minimum = Math.Min(minimum, 0);
        maximum = Math.Max(maximum, 0);
        var grid = new QuantizationParameters(1, 0, type, bits);
        var scale = (float)((maximum - minimum) / (grid.MaximumInteger - grid.MinimumInteger));
        if (!float.IsNormal(scale))
            return float.IsFinite(scale) ? grid with { ZeroPoint = grid.MinimumInteger } : throw new ArgumentOutOfRangeException(nameof(maximum), maximum, "The range is wider than a float can scale.");
        var zero = Math.Round(grid.MinimumInteger - (minimum / scale), MidpointRounding.ToEven);
        return new QuantizationParameters(scale, (int)Math.Clamp(zero, grid.MinimumInteger, grid.MaximumInteger), type, bits);
    }

    /// <summary>Parameters around 0 for a largest magnitude; int8 uses -127 to 127, so that both signs reach equally far.</summary>
    public static QuantizationParameters Symmetric(double magnitude, ElementType type = ElementType.Int8)
    {
        Check(0, magnitude, type);
        var scale = (float)(magnitude / 127);
        return new QuantizationParameters(float.IsNormal(scale) ? scale : 1, type == ElementType.UInt8 ? 128 : 0, type);
    }

    /// <summary>The integer for a value. NaN gives the zero point.</summary>
    public int Quantize(float value)
    {
        var rounded = MathF.Round(value / Scale, MidpointRounding.ToEven);
        return float.IsNaN(rounded) ? ZeroPoint : (int)Math.Clamp((double)rounded + ZeroPoint, MinimumInteger, MaximumInteger);
    }

    /// <summary>The value that an integer stands for.</summary>
    public float Dequantize(int integer) => (integer - ZeroPoint) * Scale;

    private static void Check(double minimum, double maximum, ElementType type)
    {
        if (!double.IsFinite(minimum) || !double.IsFinite(maximum) || minimum > maximum)
            throw new ArgumentOutOfRangeException(nameof(minimum), $"[{minimum}, {maximum}] is no finite range.");
        if (type is not (ElementType.UInt8 or ElementType.Int8))
            throw new ArgumentOutOfRangeException(nameof(type), type, "Only UInt8 and Int8 are used.");
    }
}
