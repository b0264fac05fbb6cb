namespace TinyMLaaS.Engine.Quantization;

/// <summary>The range that holds a given share of what a tensor was seen to hold, read off its histogram.</summary>
public static class PercentileRange
{
    /// <summary>Cuts half of what is left out at each end, and never reaches beyond what was observed. Within a bin values are taken as spread evenly.</summary>
    /// <param name="statistics">What was seen.</param>
    /// <param name="percent">Share kept, above 0 and at most 100.</param>
    public static (double Minimum, double Maximum) Of(TensorStatistics statistics, double percent)
    {
        if (!(percent > 0 && percent <= 100))
            throw new ArgumentOutOfRangeException(nameof(percent), percent, "A share lies above 0 and at 100 at most.");
        if (statistics.Count == 0)
            return (0, 0);
        var cut = statistics.Count * (100 - percent) / 200;
        return (Math.Clamp(From(statistics, cut), statistics.Minimum, statistics.Maximum), Math.Clamp(From(statistics, statistics.Count - cut), statistics.Minimum, statistics.Maximum));
    }

    /// <summary>The value below which <paramref name="count"/> of the values lie.</summary>
    private static double From(TensorStatistics statistics, double count)
    {
        var below = 0d;
        var bins = statistics.Histogram;
        for (var i = 0; i < bins.Length; i++)
        {
            // Exact zeros are in no bin; they lie where the positive ones begin.
            if (i == bins.Length / 2)
            {
                below += statistics.Zeros;
                if (below >= count && statistics.Zeros > 0)
                    return 0;
            }
            if (bins[i] > 0 && below + bins[i] >= count)
                return (i - (bins.Length / 2) + ((count - below) / bins[i])) * statistics.BinWidth;
            below += bins[i];
        }
        return statistics.Maximum;
    }
}
