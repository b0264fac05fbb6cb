namespace TinyMLaaS.Engine.Quantization;

/// <summary>
/// The range with the least information lost, as TensorRT's calibration defines it (S. Migacz, "8-bit inference with TensorRT", GTC 2017): of all thresholds the one whose clipped distribution of
/// magnitudes lies closest to itself rounded to half as many levels as integers, 128 for 8 bits, by Kullback-Leibler divergence. Many bins matter: with no more bins than levels there is nothing to choose.
/// </summary>
public static class EntropyRange
{
    // Where the rounded distribution has nothing and the other has something, the divergence would be infinite.
    private const double Smoothing = 1e-4;

    /// <summary>The range from minus to plus the best threshold, within what was observed. Exact zeros do not count: every grid holds them.</summary>
    public static (double Minimum, double Maximum) Of(TensorStatistics statistics, int bits = 8)
    {
        var levels = 1 << (bits - 1);
        var magnitudes = Magnitudes(statistics);
        var used = Array.FindLastIndex(magnitudes, m => m > 0) + 1;
        var best = (Bins: used, Divergence: double.PositiveInfinity);
        // From the widest down, so that of equals the one that clips less is taken.
        for (var bins = used; bins >= levels; bins--)
        {
            var divergence = Divergence(magnitudes, bins, levels);
            if (divergence < best.Divergence)
                best = (bins, divergence);
        }
        var threshold = best.Bins * statistics.BinWidth;
        return (Math.Max(statistics.Minimum, -threshold), Math.Min(statistics.Maximum, threshold));
    }

    /// <summary>Counts by distance from 0, in bins of the statistics' width.</summary>
    internal static double[] Magnitudes(TensorStatistics statistics)
    {
        var bins = statistics.Histogram;
        var result = new double[bins.Length / 2];
        for (var i = 0; i < result.Length; i++)
            result[i] = bins[(bins.Length / 2) + i] + bins[(bins.Length / 2) - 1 - i];
        return result;
    }

    private static double Divergence(double[] magnitudes, int bins, int levels)
    {
        var outside = 0d;
        for (var i = bins; i < magnitudes.Length; i++)
            outside += magnitudes[i];
        Span<double> rounded = stackalloc double[bins];
        double sum = outside, roundedSum = 0;
        for (var level = 0; level < levels; level++)
        {
            var (from, to) = (level * bins / levels, (level + 1) * bins / levels);
            var (total, filled) = (0d, 0);
            for (var i = from; i < to; i++)
            {
                total += magnitudes[i];
                filled += magnitudes[i] > 0 ? 1 : 0;
            }
            for (var i = from; i < to; i++)
                rounded[i] = magnitudes[i] > 0 ? total / filled : 0;
            sum += total;
            roundedSum += total;
        }
        if (roundedSum == 0)
            return double.PositiveInfinity;
        var divergence = 0d;
        for (var i = 0; i < bins; i++)
        {
            // What lies outside is clipped to the last bin.
            var p = (magnitudes[i] + (i == bins - 1 ? outside : 0)) / sum;
            if (p > 0)
                divergence += p * Math.Log(p / Math.Max(rounded[i] / roundedSum, Smoothing / bins));
        }
        return divergence;
    }
}
