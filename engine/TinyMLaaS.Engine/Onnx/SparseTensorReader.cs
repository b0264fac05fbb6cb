using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Onnx;

/// <summary>Makes dense tensors of sparse ones, which no pass knows: zeros but for the listed elements.</summary>
internal sealed class SparseTensorReader
{
    /// <summary>Bytes that all dense forms of a file may take together: a sparse tensor can claim any size.</summary>
    private const long MostBytes = 32 << 20;

    private long _bytes;

    public Tensor Read(SparseTensorProto proto)
    {
        var what = $"sparse initializer '{proto.Values?.Name}'";
        if (proto.Values is null || proto.Indices is null)
            throw Invalid(what, "it has no values or no indices");
        var values = TensorReader.Read(proto.Values, $"values of {what}");
        var indices = TensorReader.Read(proto.Indices, $"indices of {what}");
        var shape = proto.Dims.ToArray();
        long count;
        try
        {
            count = Tensor.CountOf(shape);
        }
        catch (Exception e) when (e is ArgumentException or OverflowException)
        {
            throw Invalid(what, $"[{string.Join(',', shape.Take(16))}] is no shape that a tensor can have");
        }
        var width = values.Type.Bits() / 8;
        if (width == 0 || values.Type.Bits() % 8 != 0)
            throw new TransformRejectedException("unsupported-model", $"Cannot read {what}: sparse tensors of {values.Type} are not supported. Store it as a dense tensor.");
        if (count > (MostBytes - _bytes) / width)
            throw new TransformRejectedException("unsupported-model", $"Cannot read {what}: with it, sparse initializers take more than {MostBytes} bytes as dense ones. Store it as a dense tensor.");
        var isLinear = indices.Shape.Length == 1;
        if (values.Shape is not [var listed] || indices.Type != ElementType.Int64 || indices.Shape[0] != listed || !(isLinear || (indices.Shape.Length == 2 && indices.Shape[1] == shape.Length)))
            throw Invalid(what, $"values of shape [{string.Join(',', values.Shape)}] and {indices.Type} indices of shape [{string.Join(',', indices.Shape)}] do not go together in {shape.Length} dimensions");
        _bytes += count * width;
        var dense = new byte[count * width];
        var places = indices.As<long>();
        var last = -1L;
        for (var i = 0; i < listed; i++)
        {
            var place = isLinear ? places[i] : Linear(places.Slice(i * shape.Length, shape.Length), shape, what);
            if (place <= last || place >= count)
                throw Invalid(what, $"index {i} is out of range, or not behind the one before");
            last = place;
            values.Bytes.Span.Slice(i * width, width).CopyTo(dense.AsSpan((int)(place * width)));
        }
        return Tensor.FromBytes(values.Type, shape, dense);
    }

    private static long Linear(ReadOnlySpan<long> index, long[] shape, string what)
    {
        var place = 0L;
        for (var axis = 0; axis < shape.Length; axis++)
        {
            if (index[axis] < 0 || index[axis] >= shape[axis])
                throw Invalid(what, $"index {index[axis]} is out of axis {axis}, which has {shape[axis]}");
            place = (place * shape[axis]) + index[axis];
        }
        return place;
    }

    private static TransformRejectedException Invalid(string what, string reason) => new("invalid-model", $"Cannot read {what}: {reason}.");
}
