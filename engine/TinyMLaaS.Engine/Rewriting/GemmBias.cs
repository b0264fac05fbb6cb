using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

/// <summary>What a Gemm adds, and what may be added to one, as a vector along its columns.</summary>
internal static class GemmBias
{
    /// <summary>Columns of the result; null when the weight is no matrix.</summary>
    public static long? Columns(Node gemm) => gemm.Input(1)!.Constant!.Shape is { Length: 2 } shape ? shape[gemm.Int("transB", 0) != 0 ? 0 : 1] : null;

    /// <summary>beta * C as a vector, zeros when there is no C; the reason when it is none.</summary>
    public static (float[]? Bias, Blocked? Blocked) Of(Node gemm, long columns)
    {
        if (Reasons.Unexpected(gemm, 3, "alpha", "beta", "transA", "transB") is { } unexpected)
            return (null, unexpected);
        if (gemm.Input(2) is not { } c)
            return (new float[columns], null);
        if (Reasons.NoFloatConstant(c, "bias") is { } blocked)
            return (null, blocked);
        var beta = gemm.Float("beta", 1);
        var (bias, reason) = AlongAxis(c, 2, 1, columns, "bias");
        return (bias is null || beta == 1 ? bias : [.. bias.Select(v => (float)((double)beta * v))], reason);
    }

    /// <summary>A constant that broadcasts to a result of this rank as one number for each index of one axis.</summary>
    public static (float[]? Vector, Blocked? Blocked) AlongAxis(Value constant, int rank, int axis, long extent, string what)
    {
        var shape = constant.Constant!.Shape;
        var skip = rank - shape.Length;
        var isVector = skip >= 0 && Enumerable.Range(0, shape.Length).All(i => shape[i] == 1 || (i + skip == axis && shape[i] == extent));
        if (!isVector)
            return (null, new Blocked($"its {what} '{constant.Name}' of shape [{string.Join(',', shape)}] is not one number for each of {extent} channels"));
        var values = constant.Constant.As<float>();
        return (values.Length == 1 ? [.. Enumerable.Repeat(values[0], checked((int)extent))] : values.ToArray(), null);
    }
}
