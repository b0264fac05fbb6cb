using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Quantization;

/// <summary>A weight as symmetric int8: one scale, or one for each slice along an axis; the zero point is 0.</summary>
public sealed class QuantizedWeight
{
    // An accumulator of int32 must hold the bias and the sum of products, each at most 127 * 255: this leaves half of it to 33,000 products.
    private const double LargestBias = 1 << 30;

    private readonly float[] _weights;
    private readonly float[] _scales;
    private readonly sbyte[] _integers;
    private readonly int _run;
    private readonly int _largest;

    private QuantizedWeight(float[] weights, long[] shape, int? axis, int largest)
    {
        _largest = largest;
        _weights = weights;
        Shape = shape;
        Axis = axis;
        _scales = new float[axis is { } a ? shape[a] : 1];
        _run = axis is { } b ? (int)Tensor.CountOf(shape.AsSpan(b + 1)) : Math.Max(1, weights.Length);
        _integers = new sbyte[weights.Length];
    }

    /// <summary>Extents.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>The axis whose slices have scales of their own; null for one scale.</summary>
    public int? Axis { get; }

    /// <summary>Scales, one for each slice, positive.</summary>
    public IReadOnlyList<float> Scales => _scales;

    /// <summary>Channels whose scale had to grow so that their bias fits.</summary>
    public int RaisedScales { get; private set; }

    /// <summary>The bias as integers, once <see cref="QuantizeBias"/> made them; empty without a bias.</summary>
    public IReadOnlyList<int> Bias { get; private set; } = [];

    /// <summary>The integers, at most the largest asked for on either side of 0, in the weight's order.</summary>
    public ReadOnlySpan<sbyte> Integers => _integers;

    /// <summary>10 log10 of the weight's energy over that of its rounding error; positive infinity when nothing was lost.</summary>
    public double SignalToNoise
    {
        get
        {
            double signal = 0, noise = 0;
            for (var i = 0; i < _weights.Length; i++)
            {
                signal += (double)_weights[i] * _weights[i];
                var error = _weights[i] - ((double)_integers[i] * _scales[Channel(i)]);
                noise += error * error;
            }
            return noise == 0 ? double.PositiveInfinity : 10 * Math.Log10(signal / noise);
        }
    }

    /// <summary>
    /// Bits that an int32 accumulator has left in the channel where it has least: log2 of 2^31 over the bias's magnitude and the largest that the sum of products can become. Negative when it can overflow.
    /// </summary>
    /// <param name="axis">Axis of the output channels.</param>
    /// <param name="largestInput">The largest integer of the activation that the weight meets, zero point not subtracted.</param>
    public double HeadroomBits(int axis, int largestInput)
    {
        var sums = new double[Shape[axis]];
        var run = (int)Tensor.CountOf([.. Shape.Skip(axis + 1)]);
        for (var i = 0; i < _integers.Length; i++)
            sums[i / run % sums.Length] += Math.Abs((int)_integers[i]) * (double)largestInput;
        for (var i = 0; i < Bias.Count; i++)
            sums[i] += Math.Abs((double)Bias[i]);
        return 31 - Math.Log2(Math.Max(1, sums.DefaultIfEmpty().Max()));
    }

    /// <summary>What the integers stand for, in the weight's order.</summary>
    public float[] Values()
    {
        var values = new float[_integers.Length];
        for (var i = 0; i < values.Length; i++)
            values[i] = _integers[i] * _scales[Channel(i)];
        return values;
    }

    /// <summary>Quantizes a weight: the scale of a slice is its largest magnitude over the largest integer. A slice of zeros gets the largest scale of the others, or 1.</summary>
    /// <param name="weights">Finite values in row-major order.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="axis">Axis of the output channels; null for one scale.</param>
    /// <param name="largest">The largest integer, 1 to 127.</param>
    /// <param name="isLeastSquares">Whether a slice's scale is the one of the least squared error; otherwise it keeps the largest weight.</param>
    /// <exception cref="ArgumentException">A value is not finite.</exception>
    public static QuantizedWeight Of(ReadOnlySpan<float> weights, ReadOnlySpan<long> shape, int? axis, int largest = 127, bool isLeastSquares = false)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(largest, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(largest, 127);
        var result = new QuantizedWeight(weights.ToArray(), shape.ToArray(), axis, largest);
        var magnitudes = new double[result._scales.Length];
        for (var i = 0; i < weights.Length; i++)
        {
            if (!float.IsFinite(weights[i]))
                throw new ArgumentException($"Element {i} is {weights[i]}.", nameof(weights));
            ref var magnitude = ref magnitudes[result.Channel(i)];
            magnitude = Math.Max(magnitude, Math.Abs(weights[i]));
        }
        var greatest = magnitudes.DefaultIfEmpty().Max();
        for (var channel = 0; channel < magnitudes.Length; channel++)
            result._scales[channel] = QuantizationParameters.Symmetric((magnitudes[channel] > 0 ? magnitudes[channel] : greatest) * (127d / largest)).Scale;
        if (isLeastSquares)
            result.Shrink();
        result.Round();
        return result;
    }

    /// <summary>
    /// The bias as integers on the grid <c>inputScale * Scales[channel]</c>, which integer kernels demand. Where an integer would leave the accumulator no room, the scale of
    /// that channel is raised just enough and its weights are rounded anew. Call it once, after which scales are final.
    /// </summary>
    /// <param name="bias">One finite value for each slice; with one scale, any number.</param>
    /// <param name="inputScale">Scale of the activation that the weight meets.</param>
    public int[] QuantizeBias(ReadOnlySpan<float> bias, float inputScale)
    {
        for (var i = 0; i < bias.Length; i++)
        {
            var channel = _scales.Length == 1 ? 0 : i;
            var needed = Math.Abs((double)bias[i]) / inputScale / LargestBias;
            if (needed <= _scales[channel])
                continue;
            _scales[channel] = MathF.BitIncrement((float)needed);
            RaisedScales++;
        }
        if (RaisedScales > 0)
            Round();
        var result = new int[bias.Length];
        for (var i = 0; i < bias.Length; i++)
            result[i] = (int)Math.Round(bias[i] / (double)(inputScale * _scales[_scales.Length == 1 ? 0 : i]), MidpointRounding.ToEven);
        Bias = result;
        return result;
    }

    /// <summary>Takes for each slice the share of its scale, down to half, with the least squared error: few integers are worth more near 0, where most weights are, than out where the largest one is.</summary>
    private void Shrink()
    {
        const int steps = 25;
        var errors = new double[_scales.Length];
        var (least, shares) = (new double[_scales.Length], new double[_scales.Length]);
        for (var step = 0; step <= steps; step++)
        {
            var share = 1 - (step * 0.5 / steps);
            Array.Clear(errors);
            for (var i = 0; i < _weights.Length; i++)
            {
                var channel = Channel(i);
                var scale = _scales[channel] * share;
                var error = _weights[i] - (Math.Clamp(Math.Round(_weights[i] / scale), -_largest, _largest) * scale);
                errors[channel] += error * error;
            }
            for (var channel = 0; channel < errors.Length; channel++)
            {
                if (step == 0 || errors[channel] < least[channel])
                    (least[channel], shares[channel]) = (errors[channel], share);
            }
        }
        for (var channel = 0; channel < errors.Length; channel++)
            _scales[channel] = (float)(_scales[channel] * shares[channel]);
    }

    private void Round()
    {
        for (var i = 0; i < _weights.Length; i++)
            _integers[i] = (sbyte)Math.Clamp(MathF.Round(_weights[i] / _scales[Channel(i)], MidpointRounding.ToEven), -_largest, _largest);
    }

    private int Channel(int element) => _scales.Length == 1 ? 0 : element / _run % _scales.Length;
}
