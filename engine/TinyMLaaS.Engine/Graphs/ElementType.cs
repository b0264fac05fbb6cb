namespace TinyMLaaS.Engine.Graphs;

/// <summary>Element types of tensors; the numbers are ONNX's <c>TensorProto.DataType</c>.</summary>
public enum ElementType
{
    /// <summary>Not known.</summary>
    Undefined = 0,
    /// <summary>IEEE 754 binary32.</summary>
    Float = 1,
    /// <summary>Unsigned, 8 bits.</summary>
    UInt8 = 2,
    /// <summary>Signed, 8 bits.</summary>
    Int8 = 3,
    /// <summary>Unsigned, 16 bits.</summary>
    UInt16 = 4,
    /// <summary>Signed, 16 bits.</summary>
    Int16 = 5,
    /// <summary>Signed, 32 bits.</summary>
    Int32 = 6,
    /// <summary>Signed, 64 bits.</summary>
    Int64 = 7,
    /// <summary>UTF-8 text.</summary>
    String = 8,
    /// <summary>One byte an element.</summary>
    Bool = 9,
    /// <summary>IEEE 754 binary16.</summary>
    Float16 = 10,
    /// <summary>IEEE 754 binary64.</summary>
    Double = 11,
    /// <summary>Unsigned, 32 bits.</summary>
    UInt32 = 12,
    /// <summary>Unsigned, 64 bits.</summary>
    UInt64 = 13,
    /// <summary>Two binary32.</summary>
    Complex64 = 14,
    /// <summary>Two binary64.</summary>
    Complex128 = 15,
    /// <summary>Upper half of a binary32.</summary>
    BFloat16 = 16,
    /// <summary>8-bit float.</summary>
    Float8E4M3FN = 17,
    /// <summary>8-bit float.</summary>
    Float8E4M3FNUZ = 18,
    /// <summary>8-bit float.</summary>
    Float8E5M2 = 19,
    /// <summary>8-bit float.</summary>
    Float8E5M2FNUZ = 20,
    /// <summary>Unsigned, 4 bits, two a byte, low nibble first.</summary>
    UInt4 = 21,
    /// <summary>Signed, 4 bits, two a byte, low nibble first.</summary>
    Int4 = 22,
    /// <summary>4-bit float, two a byte.</summary>
    Float4E2M1 = 23,
    /// <summary>8-bit exponent.</summary>
    Float8E8M0 = 24,
    /// <summary>Unsigned, 2 bits, four a byte.</summary>
    UInt2 = 25,
    /// <summary>Signed, 2 bits, four a byte.</summary>
    Int2 = 26,
}
