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

    private readonly long[] _bins = new long[Bins];
    private int _exponent = SmallestExponent;

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

    /// <summary>Width of a bin.</summary>
    public double BinWidth => Math.ScaleB(1, _exponent);

    /// <summary>Counts: bin i holds values from <c>(i - Bins / 2) * BinWidth</c> up to, and without, the next.</summary>
    public ReadOnlySpan<long> Histogram => _bins;

    /// <summary>Takes values in.</summary>
    public void Add(ReadOnlySpan<float> values)
    {
        double minimum = Count == 0 ? double.PositiveInfinity : Minimum;
        double maximum = Count == 0 ? double.NegativeInfinity : Maximum;
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
        Minimum = minimum;
        Maximum = maximum;
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

    /// <summary>Takes in what another has seen; the result is what one would have that had seen both.</summary>
    public void Merge(TensorStatistics other)
    {
        NotFinite += other.NotFinite;
        if (other.Count == 0)
            return;
        Minimum = Count == 0 ? other.Minimum : Math.Min(Minimum, other.Minimum);
        Maximum = Count == 0 ? other.Maximum : Math.Max(Maximum, other.Maximum);
        Zeros += other.Zeros;
        Count += other.Count;
        while (_exponent < other._exponent)
            JoinPairs();
        var shift = _exponent - other._exponent;
        for (var i = 0; i < Bins; i++)
            _bins[((i - (Bins / 2)) >> shift) + (Bins / 2)] += other._bins[i];
    }

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
