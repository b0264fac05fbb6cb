using Microsoft.ML.OnnxRuntime.Tensors;

namespace TinyMLaaS.ModelServer;

/// <summary>An element type as the Open Inference Protocol names it and as ONNX Runtime does.</summary>
/// <param name="Name">As in requests, e.g. <c>FP32</c>.</param>
/// <param name="Type">As ONNX Runtime names it.</param>
/// <param name="Size">Bytes of an element; 0 for strings.</param>
internal sealed record DataType(string Name, TensorElementType Type, int Size)
{
    public static readonly DataType Bytes = new("BYTES", TensorElementType.String, 0);

    private static readonly DataType[] All =
    [
        new("BOOL", TensorElementType.Bool, 1), new("UINT8", TensorElementType.UInt8, 1), new("UINT16", TensorElementType.UInt16, 2), new("UINT32", TensorElementType.UInt32, 4),
        new("UINT64", TensorElementType.UInt64, 8), new("INT8", TensorElementType.Int8, 1), new("INT16", TensorElementType.Int16, 2), new("INT32", TensorElementType.Int32, 4),
        new("INT64", TensorElementType.Int64, 8), new("FP16", TensorElementType.Float16, 2), new("FP32", TensorElementType.Float, 4), new("FP64", TensorElementType.Double, 8), Bytes,
    ];

    public bool IsFloat => Type is TensorElementType.Float16 or TensorElementType.Float or TensorElementType.Double;

    /// <summary>Null for a type that the protocol has no name for.</summary>
    public static DataType? Of(TensorElementType type) => Array.Find(All, d => d.Type == type);
}
