using System.Text.Json.Nodes;

namespace TinyMLaaS.Engine.Quantization;

/// <summary>
/// What calibration remembers of a tensor: smallest, largest and a histogram, in constant memory however much it sees.
/// The width of a bin is a power of two, the least with which <see cref="Bins"/> bins around 0 reach the largest magnitude; when a larger one comes, pairs of
/// bins are joined. A bin's content thus never depends on the order or grouping of what was seen, and merging two histograms is exact.
/// </summary>
public sealed class TensorStatistics
{
    /// <summary>Bins of the histogram, half of them for negative values.</summary>
    public const int Bins = 2048;

    // Below this magnitude everything falls into the two bins around 0: such a tensor cannot be told from zeros after quantization.
    private const int SmallestExponent = -80;

    // How much one feed counts in the moving average.
    private const double Momentum = 0.01;

    private readonly long[] _bins = new long[Bins];
    private int _exponent = SmallestExponent;
    private long _feeds;
    private double _decayedMinimum;
    private double _decayedMaximum;

    /// <summary>Values seen, those that are not finite left out.</summary>
    public long Count { get; private set; }

    /// <summary>Values that were NaN or infinite.</summary>
    public long NotFinite { get; private set; }

    /// <summary>Values that were exactly 0; they are in no bin.</summary>
    public long Zeros { get; private set; }

    /// <summary>Smallest value; 0 when nothing was seen.</summary>
    public double Minimum { get; private set; }

    /// <summary>Largest value; 0 when nothing was seen.</summary>
    public double Maximum { get; private set; }

    /// <summary>
    /// Averages of the feeds' smallest and largest values, in which a feed counts 1 % less for each that came after it; so that one odd feed does not set the range. 0 when nothing was seen.
    /// Unlike all else here it depends on the order of feeds, so statistics are merged in the order of what they saw.
    /// </summary>
    public (double Minimum, double Maximum) MovingRange =>
        _feeds == 0 ? (0, 0) : (_decayedMinimum / (1 - Math.Pow(1 - Momentum, _feeds)), _decayedMaximum / (1 - Math.Pow(1 - Momentum, _feeds)));

    /// <summary>Width of a bin.</summary>
    public double BinWidth => Math.ScaleB(1, _exponent);

    /// <summary>Counts: bin i holds values from <c>(i - Bins / 2) * BinWidth</c> up to, and without, the next.</summary>
    public ReadOnlySpan<long> Histogram => _bins;

    /// <summary>Takes the values of one feed in.</summary>
    public void Add(ReadOnlySpan<float> values)
    {
        var minimum = double.PositiveInfinity;
        var maximum = double.NegativeInfinity;
        foreach (var value in values)
        {
            if (!float.IsFinite(value))
                continue;
            minimum = Math.Min(minimum, value);
            maximum = Math.Max(maximum, value);
        }
        if (minimum > maximum)
        {
            NotFinite += values.Length;
            return;
        }
        Grow(minimum, maximum);
        Minimum = Count == 0 ? minimum : Math.Min(Minimum, minimum);
        Maximum = Count == 0 ? maximum : Math.Max(Maximum, maximum);
        _feeds++;
        _decayedMinimum = (_decayedMinimum * (1 - Momentum)) + (Momentum * minimum);
        _decayedMaximum = (_decayedMaximum * (1 - Momentum)) + (Momentum * maximum);
        var inverse = Math.ScaleB(1, -_exponent);
        foreach (var value in values)
        {
            if (value == 0)
                Zeros++;
            else if (float.IsFinite(value))
                _bins[(int)Math.Floor(value * inverse) + (Bins / 2)]++;
            else
                NotFinite++;
        }
        Count = Zeros + _bins.Sum();
    }

    /// <summary>
    /// Share of the values that lie outside of a range, of 0 to 1. A bin that a limit cuts counts by the part of it that lies outside, as if its values were spread evenly over what of it was seen.
    /// </summary>
    public double ShareOutside(double minimum, double maximum)
    {
        if (Count == 0)
            return 0;
        double outside = minimum > 0 || maximum < 0 ? Zeros : 0;
        for (var i = 0; i < Bins; i++)
        {
            if (_bins[i] == 0)
                continue;
            var low = Math.Max((i - (Bins / 2)) * BinWidth, Minimum);
            var high = Math.Min((i + 1 - (Bins / 2)) * BinWidth, Maximum);
            var inside = high > low
                ? Math.Max(0, Math.Min(high, maximum) - Math.Max(low, minimum)) / (high - low)
                : low >= minimum && low <= maximum ? 1 : 0;
            outside += _bins[i] * (1 - inside);
        }
        return outside / Count;
    }

    /// <summary>Shares of the values in equal parts of the range from <see cref="Minimum"/> to <see cref="Maximum"/>, for a plot; they sum to 1 unless nothing was seen.</summary>
    /// <param name="parts">How many, at least 1.</param>
    public double[] Outline(int parts)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(parts, 1);
        var shares = new double[parts];
        if (Count == 0)
            return shares;
        var width = (Maximum - Minimum) / parts;
        int Part(double value) => width > 0 ? Math.Clamp((int)((value - Minimum) / width), 0, parts - 1) : 0;
        shares[Part(0)] = (double)Zeros / Count;
        for (var i = 0; i < Bins; i++)
            shares[Part((i + 0.5 - (Bins / 2)) * BinWidth)] += (double)_bins[i] / Count;
        return shares;
    }

    /// <summary>Takes in what another has seen; the result is what one would have that had seen both, the other's feeds last.</summary>
    public void Merge(TensorStatistics other)
    {
        NotFinite += other.NotFinite;
        if (other.Count == 0)
            return;
        Minimum = Count == 0 ? other.Minimum : Math.Min(Minimum, other.Minimum);
        Maximum = Count == 0 ? other.Maximum : Math.Max(Maximum, other.Maximum);
        Zeros += other.Zeros;
        Count += other.Count;
        var decay = Math.Pow(1 - Momentum, other._feeds);
        _decayedMinimum = (_decayedMinimum * decay) + other._decayedMinimum;
        _decayedMaximum = (_decayedMaximum * decay) + other._decayedMaximum;
        _feeds += other._feeds;
        while (_exponent < other._exponent)
            JoinPairs();
        var shift = _exponent - other._exponent;
        for (var i = 0; i < Bins; i++)
            _bins[((i - (Bins / 2)) >> shift) + (Bins / 2)] += other._bins[i];
    }

    /// <summary>All that it holds, as JSON: statistics taken at one place can be stored, merged and used at another. Only bins that are not empty are listed, as place and count.</summary>
    public JsonObject ToJson()
    {
        var bins = new JsonArray();
        for (var i = 0; i < Bins; i++)
        {
            if (_bins[i] > 0)
                bins.Add(new JsonArray(i, _bins[i]));
        }
        return new JsonObject
        {
            ["minimum"] = Minimum,
            ["maximum"] = Maximum,
            ["zeros"] = Zeros,
            ["notFinite"] = NotFinite,
            ["feeds"] = _feeds,
            ["decayedMinimum"] = _decayedMinimum,
            ["decayedMaximum"] = _decayedMaximum,
            ["binWidthExponent"] = _exponent,
            ["bins"] = bins,
        };
    }

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="FormatException">It is not that.</exception>
    public static TensorStatistics FromJson(JsonNode? json)
    {
        try
        {
            var result = new TensorStatistics
            {
                Minimum = Number(json!["minimum"]),
                Maximum = Number(json["maximum"]),
                Zeros = Whole(json["zeros"]),
                NotFinite = Whole(json["notFinite"]),
                _feeds = Whole(json["feeds"]),
                _decayedMinimum = Number(json["decayedMinimum"]),
                _decayedMaximum = Number(json["decayedMaximum"]),
                _exponent = json["binWidthExponent"]!.GetValue<int>(),
            };
            foreach (var bin in json["bins"]!.AsArray())
                result._bins[bin![0]!.GetValue<int>()] = Whole(bin[1]);
            result.Count = checked(result.Zeros + result._bins.Aggregate(0L, (sum, n) => checked(sum + n)));
            // 118: bins of a width beyond would hold numbers that no float is.
            var isSound = result.Minimum <= result.Maximum && result._exponent is >= SmallestExponent and <= 118 && (result.Count > 0) == (result._feeds > 0)
                && result.Maximum < Bins / 2 * result.BinWidth && result.Minimum >= -(Bins / 2) * result.BinWidth;
            return isSound ? result : throw new FormatException("The statistics contradict themselves: range, width of bins and counts do not go together.");
        }
        catch (Exception e) when (e is NullReferenceException or InvalidOperationException or IndexOutOfRangeException or ArgumentOutOfRangeException or OverflowException or ArgumentNullException)
        {
            throw new FormatException("These are no statistics of a tensor.", e);
        }
    }

    private static double Number(JsonNode? node) => node!.GetValue<double>() is var value && double.IsFinite(value) ? value : throw new OverflowException();

    private static long Whole(JsonNode? node) => node!.GetValue<long>() is >= 0 and var value ? value : throw new OverflowException();

    private void Grow(double minimum, double maximum)
    {
        while (maximum >= Bins / 2 * BinWidth || minimum < -(Bins / 2) * BinWidth)
            JoinPairs();
    }

    private void JoinPairs()
    {
        // Outwards from the middle, so that a pair is read before its place is written.
        for (var i = 0; i < Bins / 2; i++)
        {
            _bins[(Bins / 2) + i] = i < Bins / 4 ? _bins[(Bins / 2) + (2 * i)] + _bins[(Bins / 2) + (2 * i) + 1] : 0;
            _bins[(Bins / 2) - 1 - i] = i < Bins / 4 ? _bins[(Bins / 2) - 1 - (2 * i)] + _bins[(Bins / 2) - 2 - (2 * i)] : 0;
        }
        _exponent++;
    }
}
