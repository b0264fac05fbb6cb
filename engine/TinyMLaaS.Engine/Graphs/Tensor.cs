using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace TinyMLaaS.Engine.Graphs;

/// <summary>A constant: element type, shape and bytes. Never changes once made, so it can be shared.</summary>
public sealed class Tensor
{
    private Tensor(ElementType type, ImmutableArray<long> shape, ReadOnlyMemory<byte> bytes, ImmutableArray<string> strings)
    {
        Type = type;
        Shape = shape;
        Bytes = bytes;
        Strings = strings;
    }

    /// <summary>Element type.</summary>
    public ElementType Type { get; }

    /// <summary>Extents; empty for a scalar.</summary>
    public ImmutableArray<long> Shape { get; }

    /// <summary>Elements in row-major order, little endian, sub-byte types packed low bits first; empty for strings.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>Elements of a string tensor; empty for other types.</summary>
    public ImmutableArray<string> Strings { get; }

    /// <summary>Number of elements, 1 for a scalar.</summary>
    public long Count => CountOf(Shape.AsSpan());

    /// <summary>A tensor over raw bytes, which the caller must not change afterwards.</summary>
    /// <exception cref="ArgumentException">The bytes do not fit type and shape.</exception>
    public static Tensor FromBytes(ElementType type, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> bytes)
    {
        var expected = type.ByteLength(CountOf(shape));
        if (type is ElementType.String or ElementType.Undefined)
            throw new ArgumentException($"A tensor of type {type} has no raw form.", nameof(type));
        if (bytes.Length != expected)
            throw new ArgumentException($"A {type} tensor of shape [{string.Join(',', shape.ToArray())}] takes {expected} bytes, got {bytes.Length}.", nameof(bytes));
        return new Tensor(type, [.. shape], bytes, []);
    }

    /// <summary>A tensor of strings.</summary>
    /// <exception cref="ArgumentException">The number of strings does not fit the shape.</exception>
    public static Tensor FromStrings(ReadOnlySpan<long> shape, ImmutableArray<string> strings)
    {
        if (CountOf(shape) != strings.Length)
            throw new ArgumentException($"A tensor of shape [{string.Join(',', shape.ToArray())}] takes {CountOf(shape)} strings, got {strings.Length}.", nameof(strings));
        return new Tensor(ElementType.String, [.. shape], default, strings);
    }

    /// <summary>A tensor of unmanaged values; the element type follows from <typeparamref name="T"/>.</summary>
    /// <exception cref="ArgumentException">The number of values does not fit the shape, or the type has no element type.</exception>
    public static Tensor From<T>(ReadOnlySpan<long> shape, ReadOnlySpan<T> values) where T : unmanaged =>
        FromBytes(TypeOf<T>(), shape, MemoryMarshal.AsBytes(values).ToArray());

    /// <summary>A one-dimensional tensor of unmanaged values.</summary>
    public static Tensor Vector<T>(params ReadOnlySpan<T> values) where T : unmanaged => From([values.Length], values);

    /// <summary>A tensor of rank 0.</summary>
    public static Tensor Scalar<T>(T value) where T : unmanaged => From<T>([], [value]);

    /// <summary>The elements without a copy.</summary>
    /// <exception cref="InvalidOperationException">The tensor holds another element type.</exception>
    public ReadOnlySpan<T> As<T>() where T : unmanaged =>
        TypeOf<T>() == Type
            ? MemoryMarshal.Cast<byte, T>(Bytes.Span)
            : throw new InvalidOperationException($"The tensor holds {Type}, not {TypeOf<T>()}.");

    /// <summary>The same bytes under another shape.</summary>
    /// <exception cref="ArgumentException">The number of elements differs.</exception>
    public Tensor Reshape(ReadOnlySpan<long> shape) =>
        Type == ElementType.String ? FromStrings(shape, Strings) : FromBytes(Type, shape, Bytes);

    /// <summary>Number of elements of a shape, 1 for no extents.</summary>
    /// <exception cref="ArgumentException">An extent is negative.</exception>
    /// <exception cref="OverflowException">The product leaves 64 bits.</exception>
    public static long CountOf(ReadOnlySpan<long> shape)
    {
        long count = 1;
        foreach (var extent in shape)
        {
            if (extent < 0)
                throw new ArgumentException($"A tensor cannot have the extent {extent}.", nameof(shape));
            count = checked(count * extent);
        }
        return count;
    }

    private static ElementType TypeOf<T>() where T : unmanaged =>
        typeof(T) == typeof(float) ? ElementType.Float
        : typeof(T) == typeof(byte) ? ElementType.UInt8
        : typeof(T) == typeof(sbyte) ? ElementType.Int8
        : typeof(T) == typeof(ushort) ? ElementType.UInt16
        : typeof(T) == typeof(short) ? ElementType.Int16
        : typeof(T) == typeof(int) ? ElementType.Int32
        : typeof(T) == typeof(long) ? ElementType.Int64
        : typeof(T) == typeof(bool) ? ElementType.Bool
        : typeof(T) == typeof(Half) ? ElementType.Float16
        : typeof(T) == typeof(double) ? ElementType.Double
        : typeof(T) == typeof(uint) ? ElementType.UInt32
        : typeof(T) == typeof(ulong) ? ElementType.UInt64
        : throw new ArgumentException($"{typeof(T).Name} is no element type.");
}
