namespace TinyMLaaS.Engine.Onnx;

/// <summary>Which versions are read and what they ask of each other.</summary>
internal static class OnnxVersions
{
    /// <summary>Oldest opset of ONNX's own domain that is read.</summary>
    public const long OldestOpset = 7;

    /// <summary>Newest opset that ONNX Runtime 1.31 accepts.</summary>
    public const long NewestOpset = 26;

    /// <summary>Newest file format that ONNX Runtime 1.31 accepts.</summary>
    public const long NewestIr = 13;

    /// <summary>From this file format on, an initializer need not be a graph input, and one that is can be overridden by the caller.</summary>
    public const long FirstIrWithFreeInitializers = 4;

    /// <summary>The file format that was current when the opset came out, which is the oldest one that may use it.</summary>
    public static long IrOf(long opset) => opset switch
    {
        <= 8 => 3,
        9 => 4,
        10 => 5,
        11 => 6,
        <= 14 => 7,
        <= 18 => 8,
        <= 20 => 9,
        <= 22 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    };
}
