using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Datasets;

/// <summary>Turns stored samples of one array into tensors for one input: scale, layout, window, shape and type.</summary>
internal sealed class SampleFeeder
{
    private readonly InputDefinition _definition;
    private readonly SampleInput _input;
    private readonly long[] _feedShape;
    private readonly long _elements;
    private readonly long _entry = 1;
    private readonly DatasetWindow? _window;
    private readonly int _channels;
    private readonly long _channelRun;

    // Samples come one after another and each is done with before the next: one set of buffers serves all of them.
    private readonly double[] _values;
    private readonly double[] _transposed;
    private readonly byte[]? _bytes;

    public SampleFeeder(InputDefinition definition, ArrayFile array, SampleInput input, DatasetWindow? window)
    {
        _definition = definition;
        Array = array;
        _input = input;
        RefuseNoNumber(input);
        var stored = array.SampleShape.ToArray();
        (_channels, _channelRun) = Channels(stored);
        long[] fed = definition.Layout switch
        {
            SampleLayout.NhwcToNchw => [stored[2], stored[0], stored[1]],
            SampleLayout.NchwToNhwc => [stored[1], stored[2], stored[0]],
            _ => stored,
        };
        Windows = 1;
        if (window is not null)
        {
            if (definition.Layout != SampleLayout.AsIs)
                throw DatasetErrors.Invalid($"Input '{definition.Name}' has both a layout and windows; store the samples so that one of them suffices.");
            if (stored.Length == 0 || stored[0] + window.PadBefore < window.Length)
                throw DatasetErrors.Invalid($"A sample of {array.Label} has the shape [{string.Join(',', stored)}], too short for a window of {window.Length} along its first axis.");
            Windows = ((stored[0] + window.PadBefore - window.Length) / window.Step) + 1;
            _window = window;
            _entry = Tensor.CountOf(stored.AsSpan(1));
            fed = window.Flatten ? [window.Length * _entry] : [window.Length, .. stored[1..]];
        }
        _elements = Tensor.CountOf(fed);
        _feedShape = Fit(fed);
        _values = new double[_elements];
        _transposed = definition.Layout is SampleLayout.NhwcToNchw or SampleLayout.NchwToNhwc ? new double[_elements] : [];
        _bytes = Windows == 1 ? new byte[input.Type.ByteLength(_elements)] : null;
    }

    public ArrayFile Array { get; }

    public long Windows { get; }

    /// <summary>The tensor of one window of a stored sample. Where there is only one window its memory is the next sample's too.</summary>
    public Tensor Feed(ReadOnlySpan<byte> stored, long window, int index)
    {
        var size = Array.Type.Bits() / 8;
        // A window may begin before the first entry: what lies there is 0.
        _values.AsSpan().Clear();
        var start = _window is null ? 0 : ((window * _window.Step) - _window.PadBefore) * _entry;
        var read = _values.AsSpan((int)Math.Clamp(-start, 0, _elements));
        Decode(stored.Slice((int)(Math.Max(0, start) * size), read.Length * size), Array.Type, read);
        Scale(read);
        return Write(Arranged(), _bytes ?? new byte[_input.Type.ByteLength(_elements)], _input, _feedShape, () => $"Sample {index} of {Array.Label} holds");
    }

    /// <summary>A tensor for an input in which each element is the same; extents that are free are 1.</summary>
    public static Tensor Fill(SampleInput input, double value)
    {
        RefuseNoNumber(input);
        long[] shape = [.. input.Shape.Select(d => d.Value ?? 1)];
        long bytes;
        try
        {
            bytes = input.Type.ByteLength(Tensor.CountOf(shape));
        }
        catch (OverflowException)
        {
            bytes = long.MaxValue;
        }
        if (bytes > ArrayFile.MaximumSampleBytes)
            throw DatasetErrors.Invalid($"The network's input {input} takes more than {ArrayFile.MaximumSampleBytes >> 20} MiB, the most that is fed.");
        var values = new double[Tensor.CountOf(shape)];
        System.Array.Fill(values, value);
        return Write(values, new byte[bytes], input, shape, () => "The dataset gives the value");
    }

    private static Tensor Write(double[] values, byte[] bytes, SampleInput input, ReadOnlySpan<long> shape, Func<string> holder)
    {
        var unfit = Writer(input.Type)!(values, bytes);
        return unfit < 0 ? Tensor.FromBytes(input.Type, shape, bytes)
            : throw DatasetErrors.Invalid($"{holder()} {values[unfit].ToString("R", CultureInfo.InvariantCulture)}, which does not fit the network's input {input}.");
    }

    private static void RefuseNoNumber(SampleInput input)
    {
        if (Writer(input.Type) is null)
            throw DatasetErrors.Invalid($"The network's input {input} cannot be fed from a dataset: its element type is no number.");
    }

    /// <summary>How many channels a sample has and how many elements apart they change.</summary>
    private (int Count, long Run) Channels(long[] stored)
    {
        if (_definition.Layout == SampleLayout.AsIs)
            return (1, 1);
        if (stored.Length != 3)
            throw DatasetErrors.Invalid($"Input '{_definition.Name}' has a layout of height, width and channels, but a sample of {Array.Label} has the shape [{string.Join(',', stored)}].");
        var last = _definition.Layout is SampleLayout.Nhwc or SampleLayout.NhwcToNchw;
        var channels = last ? stored[2] : stored[0];
        if (_definition.Mean is { Count: > 1 } mean && mean.Count != channels)
            throw DatasetErrors.Invalid($"Input '{_definition.Name}' has {mean.Count} means, but a sample of {Array.Label} has {channels} channels.");
        return ((int)channels, last ? 1 : stored[1] * stored[2]);
    }

    private void Scale(Span<double> values)
    {
        var scale = _definition.Scale ?? 1;
        var offset = _definition.Offset ?? 0;
        if (_definition.Mean is not { } mean || _definition.Std is not { } std)
        {
            for (var i = 0; i < values.Length; i++)
                values[i] = (values[i] * scale) + offset;
            return;
        }
        for (var i = 0; i < values.Length; i++)
        {
            var channel = mean.Count == 1 ? 0 : (int)(i / _channelRun % _channels);
            values[i] = ((values[i] * scale) + offset - mean[channel]) / std[channel];
        }
    }

    /// <summary>The values in the order that the network wants.</summary>
    private double[] Arranged()
    {
        if (_transposed.Length == 0)
            return _values;
        var pixels = _values.Length / _channels;
        for (var pixel = 0; pixel < pixels; pixel++)
        {
            for (var channel = 0; channel < _channels; channel++)
            {
                if (_definition.Layout == SampleLayout.NhwcToNchw)
                    _transposed[(channel * pixels) + pixel] = _values[(pixel * _channels) + channel];
                else
                    _transposed[(pixel * _channels) + channel] = _values[(channel * pixels) + pixel];
            }
        }
        return _transposed;
    }

    /// <summary>The shape to feed: the input's own, with a batch of 1 and other free extents taken from the sample.</summary>
    private long[] Fit(long[] fed)
    {
        var shape = _input.Shape;
        long?[] extents = [.. shape.Select(d => d.Value)];
        if (extents.Length > 0 && extents[0] is null)
            extents[0] = 1;
        if (extents.All(e => e is not null))
        {
            long[] known = [.. extents.Select(e => e!.Value)];
            if (Tensor.CountOf(known) == _elements)
                return known;
            if (known.Length > 1 && known[0] > 1 && Tensor.CountOf(known.AsSpan(1)) == _elements)
                throw DatasetErrors.Invalid($"The network's input {_input} has a fixed batch of {known[0]}; only networks with a batch of 1 or a free batch can be fed sample by sample.");
        }
        else
        {
            // Extents other than the batch are free: the sample's own are taken, with or without the batch among them.
            long[] candidate = fed.Length == extents.Length ? fed : [1, .. fed];
            if (candidate.Length == extents.Length && extents.Zip(candidate).All(p => p.First is null || p.First == p.Second))
                return candidate;
        }
        throw DatasetErrors.Invalid($"The network's input {_input} takes {(extents.All(e => e is not null) ? Tensor.CountOf([.. extents.Select(e => e!.Value)]).ToString(CultureInfo.InvariantCulture) : "other")} elements, but a sample of {Array.Label} gives [{string.Join(',', fed)}], {_elements} elements.");
    }

    private static void Decode(ReadOnlySpan<byte> from, ElementType type, Span<double> to)
    {
        switch (type)
        {
            case ElementType.UInt8 or ElementType.Bool:
                Convert<byte>(from, to);
                break;
            case ElementType.Int8:
                Convert<sbyte>(from, to);
                break;
            case ElementType.Int16:
                Convert<short>(from, to);
                break;
            case ElementType.UInt16:
                Convert<ushort>(from, to);
                break;
            case ElementType.Int32:
                Convert<int>(from, to);
                break;
            case ElementType.UInt32:
                Convert<uint>(from, to);
                break;
            case ElementType.Int64:
                Convert<long>(from, to);
                break;
            case ElementType.UInt64:
                Convert<ulong>(from, to);
                break;
            case ElementType.Float16:
                Convert<Half>(from, to);
                break;
            case ElementType.Float:
                Convert<float>(from, to);
                break;
            default:
                Convert<double>(from, to);
                break;
        }
    }

    private static void Convert<T>(ReadOnlySpan<byte> from, Span<double> to) where T : unmanaged, INumber<T>
    {
        var values = MemoryMarshal.Cast<byte, T>(from);
        for (var i = 0; i < to.Length; i++)
            to[i] = double.CreateTruncating(values[i]);
    }

    /// <summary>Writes values as an element type and returns the index of the first that does not fit, or -1; null for a type that is no number.</summary>
    private static Func<double[], byte[], int>? Writer(ElementType type) => type switch
    {
        ElementType.Float => (values, bytes) => WriteReal(values, bytes, v => (float)v),
        ElementType.Double => (values, bytes) => WriteReal(values, bytes, v => v),
        ElementType.Float16 => (values, bytes) => WriteReal(values, bytes, v => (Half)v),
        ElementType.Int8 => WriteWhole<sbyte>,
        ElementType.UInt8 => WriteWhole<byte>,
        ElementType.Int16 => WriteWhole<short>,
        ElementType.UInt16 => WriteWhole<ushort>,
        ElementType.Int32 => WriteWhole<int>,
        ElementType.UInt32 => WriteWhole<uint>,
        ElementType.Int64 => WriteWhole<long>,
        ElementType.UInt64 => WriteWhole<ulong>,
        ElementType.Bool => (values, bytes) =>
        {
            for (var i = 0; i < values.Length; i++)
                bytes[i] = values[i] == 0 ? (byte)0 : (byte)1;
            return -1;
        },
        _ => null,
    };

    private static int WriteReal<T>(double[] values, byte[] bytes, Func<double, T> convert) where T : unmanaged, IFloatingPointIeee754<T>
    {
        var to = MemoryMarshal.Cast<byte, T>(bytes.AsSpan());
        for (var i = 0; i < values.Length; i++)
        {
            to[i] = convert(values[i]);
            if (!T.IsFinite(to[i]))
                return i;
        }
        return -1;
    }

    private static int WriteWhole<T>(double[] values, byte[] bytes) where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
    {
        var to = MemoryMarshal.Cast<byte, T>(bytes.AsSpan());
        for (var i = 0; i < values.Length; i++)
        {
            var rounded = Math.Round(values[i], MidpointRounding.ToEven);
            // The upper end of 64 bits is no double; saturation gives exactly it, and only for what rounds to it.
            if (!(rounded >= double.CreateTruncating(T.MinValue) && rounded <= double.CreateTruncating(T.MaxValue)))
                return i;
            to[i] = T.CreateSaturating(rounded);
        }
        return -1;
    }
}
