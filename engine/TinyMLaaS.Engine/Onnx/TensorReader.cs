using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Onnx;

/// <summary>Takes a tensor out of its message. Allocates no more than what the message itself holds.</summary>
internal static class TensorReader
{
    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    /// <param name="proto">The message.</param>
    /// <param name="what">The tensor by name, for messages.</param>
    public static Tensor Read(TensorProto proto, string what)
    {
        if (proto.HasSegment)
            throw Invalid($"Cannot read {what}: it is a segment of a tensor, which no runtime supports.");
        var (type, count, length) = Size(proto, what);
        if (type == ElementType.String)
        {
            Expect(proto, what, "strings", count, proto.StringData.Count);
            return Tensor.FromStrings([.. proto.Dims], ReadStrings(proto, what));
        }
        if (proto.HasRawData)
        {
            Expect(proto, what, "bytes", length, proto.RawData.Length);
            return Tensor.FromBytes(type, [.. proto.Dims], proto.RawData.Memory);
        }
        var bytes = Typed(proto, what, type, count, length);
        return Tensor.FromBytes(type, [.. proto.Dims], bytes);
    }

    /// <summary>Bytes that the content takes in raw form.</summary>
    public static long ByteLength(TensorProto proto, string what)
    {
        var (type, _, length) = Size(proto, what);
        return type != ElementType.String ? length : throw Invalid($"Cannot read {what}: text has no raw form.");
    }

    private static (ElementType Type, long Count, long Length) Size(TensorProto proto, string what)
    {
        var type = (ElementType)proto.DataType;
        if (type == ElementType.Undefined || !Enum.IsDefined(type))
            throw Invalid($"Cannot read {what}: {proto.DataType} is no element type.");
        try
        {
            var count = Tensor.CountOf([.. proto.Dims]);
            return (type, count, type.ByteLength(count));
        }
        catch (Exception e) when (e is ArgumentException or OverflowException)
        {
            throw Invalid($"Cannot read {what}: {Shape(proto)} is no shape that a tensor can have.");
        }
    }

    private static byte[] Typed(TensorProto proto, string what, ElementType type, long count, long length)
    {
        switch (type)
        {
            case ElementType.Float:
                Expect(proto, what, "floats", count, proto.FloatData.Count);
                return Bytes<float>([.. proto.FloatData]);
            case ElementType.Complex64:
                Expect(proto, what, "floats", 2 * count, proto.FloatData.Count);
                return Bytes<float>([.. proto.FloatData]);
            case ElementType.Double:
                Expect(proto, what, "doubles", count, proto.DoubleData.Count);
                return Bytes<double>([.. proto.DoubleData]);
            case ElementType.Complex128:
                Expect(proto, what, "doubles", 2 * count, proto.DoubleData.Count);
                return Bytes<double>([.. proto.DoubleData]);
            case ElementType.Int64:
                Expect(proto, what, "numbers", count, proto.Int64Data.Count);
                return Bytes<long>([.. proto.Int64Data]);
            case ElementType.UInt64:
                Expect(proto, what, "numbers", count, proto.Uint64Data.Count);
                return Bytes<ulong>([.. proto.Uint64Data]);
            case ElementType.UInt32:
                Expect(proto, what, "numbers", count, proto.Uint64Data.Count);
                return Bytes<uint>([.. proto.Uint64Data.Select(v => unchecked((uint)v))]);
            case ElementType.Int32:
                Expect(proto, what, "numbers", count, proto.Int32Data.Count);
                return Bytes<int>([.. proto.Int32Data]);
            case var _ when type.Bits() == 16:
                Expect(proto, what, "numbers", count, proto.Int32Data.Count);
                return Bytes<ushort>([.. proto.Int32Data.Select(v => unchecked((ushort)v))]);
            default:
                // Eight bits and less: one number a byte, sub-byte types packed as in raw form.
                Expect(proto, what, "numbers", length, proto.Int32Data.Count);
                return [.. proto.Int32Data.Select(v => unchecked((byte)v))];
        }
    }

    private static ImmutableArray<string> ReadStrings(TensorProto proto, string what)
    {
        try
        {
            return [.. proto.StringData.Select(s => StrictUtf8.GetString(s.Span))];
        }
        catch (DecoderFallbackException)
        {
            throw Invalid($"Cannot read {what}: it holds text that is not UTF-8.");
        }
    }

    private static void Expect(TensorProto proto, string what, string unit, long expected, long got)
    {
        if (expected != got)
            throw Invalid($"Cannot read {what}: a {(ElementType)proto.DataType} tensor of shape {Shape(proto)} takes {expected} {unit}, and the file holds {got}.");
    }

    private static string Shape(TensorProto proto) => $"[{string.Join(',', proto.Dims.Take(16))}{(proto.Dims.Count > 16 ? ",..." : "")}]";

    private static byte[] Bytes<T>(T[] values) where T : unmanaged => MemoryMarshal.AsBytes<T>(values).ToArray();

    private static TransformRejectedException Invalid(string message) => new("invalid-model", message);
}
