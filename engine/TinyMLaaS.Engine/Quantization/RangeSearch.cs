namespace TinyMLaaS.Engine.Quantization;

/// <summary>
/// Chooses the range of a tensor that keeps the expected squared error of its quantization least: clipping rare large values costs them, and makes the grid finer for all others.
/// </summary>
public static class RangeSearch
{
    // Each end is tried at these shares of the observed one. Finer steps change the error by less than a hundredth.
    private const int Steps = 40;
    private const double SmallestShare = 0.2;

    /// <summary>The range with the least error, each end between 20 % and all of the observed one; the ends are moved in turn until neither gains.</summary>
    public static (double Minimum, double Maximum) LeastSquares(TensorStatistics statistics, int bits = 8)
    {
        var low = Math.Min(statistics.Minimum, 0);
        var high = Math.Max(statistics.Maximum, 0);
        var best = (Low: 1d, High: 1d, Error: ExpectedError(statistics, QuantizationParameters.Asymmetric(low, high, bits: bits)));
        for (var (round, gained) = (0, true); gained && round < 4; round++)
        {
            gained = false;
            for (var step = 0; step <= Steps; step++)
            {
                var share = 1 - (step * (1 - SmallestShare) / Steps);
                gained |= high > 0 && Try(best.Low, share);
                gained |= low < 0 && Try(share, best.High);
                gained |= low < 0 && high > 0 && Try(share, share);
            }
        }
        return (low * best.Low, high * best.High);

        bool Try(double lowShare, double highShare)
        {
            var error = ExpectedError(statistics, QuantizationParameters.Asymmetric(low * lowShare, high * highShare, bits: bits));
            if (error >= best.Error)
                return false;
            best = (lowShare, highShare, error);
            return true;
        }
    }

    /// <summary>
    /// Mean squared error of quantizing what the histogram holds, the values of a bin taken as spread evenly over it (within what was observed). Exact zeros cost nothing.
    /// </summary>
    public static double ExpectedError(TensorStatistics statistics, QuantizationParameters parameters)
    {
        if (statistics.Count == 0)
            return 0;
        var sum = 0d;
        var width = statistics.BinWidth;
        var bins = statistics.Histogram;
        for (var i = 0; i < bins.Length; i++)
        {
            if (bins[i] == 0)
                continue;
            var from = Math.Max((i - (TensorStatistics.Bins / 2)) * width, statistics.Minimum);
            var to = Math.Min((i + 1 - (TensorStatistics.Bins / 2)) * width, statistics.Maximum);
            sum += bins[i] * MeanError(from, to, parameters);
        }
        return sum / statistics.Count;
    }

    /// <summary>Mean over [from, to] of (x - its quantized value)^2, by cutting at the grid's decision points: the integral over a piece around c is ((x - c)^3) / 3.</summary>
    private static double MeanError(double from, double to, QuantizationParameters parameters)
    {
        double scale = parameters.Scale;
        double Nearest(double x) => Math.Clamp(Math.Round(x / scale), parameters.MinimumInteger - parameters.ZeroPoint, parameters.MaximumInteger - parameters.ZeroPoint);
        if (to <= from)
            return Math.Pow(from - (Nearest(from) * scale), 2);
        var last = Nearest(to);
        var sum = 0d;
        var start = from;
        for (var level = Nearest(from); ; level++)
        {
            var end = level < last ? Math.Min((level + 0.5) * scale, to) : to;
            var centre = level * scale;
            sum += (Math.Pow(end - centre, 3) - Math.Pow(start - centre, 3)) / 3;
            if (level >= last)
                return sum / (to - from);
            start = end;
        }
    }
}
