using System.Globalization;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.OnnxRuntime.Float16;

/// <summary>Float32 constants as float16, and whether they have the range for it.</summary>
internal static class HalfTensor
{
    /// <summary>The largest finite float16.</summary>
    public const double Largest = 65504;

    /// <summary>The smallest float16 with all of its 11 bits; below, each halving loses one.</summary>
    public const double SmallestNormal = 6.103515625e-5;

    /// <summary>Rounds each element to the nearest float16, ties to even.</summary>
    public static Tensor Of(Tensor tensor)
    {
        var from = tensor.As<float>();
        var to = new Half[from.Length];
        for (var i = 0; i < to.Length; i++)
            to[i] = (Half)from[i];
        return Tensor.From<Half>(tensor.Shape.AsSpan(), to);
    }

    /// <summary>Why values do not fit, or null. Infinities fit: they are infinities in float16 too.</summary>
    public static string? WhyNot(string what, double minimum, double maximum)
    {
        var largest = Math.Max(Math.Abs(minimum), Math.Abs(maximum));
        return largest > Largest && double.IsFinite(largest) ? string.Create(CultureInfo.InvariantCulture, $"{what} reaches {(Math.Abs(minimum) > Math.Abs(maximum) ? minimum : maximum):G4}, and float16 ends at 65504")
            : largest is > 0 and < SmallestNormal ? string.Create(CultureInfo.InvariantCulture, $"{what} stays within {largest:G3}, where float16 has few bits or none")
            : null;
    }

    /// <summary>Why a constant does not fit, or null.</summary>
    public static string? WhyNot(string name, Tensor tensor)
    {
        double minimum = 0, maximum = 0;
        foreach (var value in tensor.As<float>())
        {
            if (!float.IsFinite(value))
                continue;
            minimum = Math.Min(minimum, value);
            maximum = Math.Max(maximum, value);
        }
        return WhyNot($"its constant '{name}'", minimum, maximum);
    }
}
