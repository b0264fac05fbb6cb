namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// How long a network takes quantized, as a share of what it takes in floats, estimated from its costs: multiply-accumulates of ordinary and of grouped operators, and the operators that ONNX
/// Runtime is left with after its rewriting. The rates were fitted to 13 networks from 1 thousand to 136 million multiply-accumulates on one thread of an x86 processor with VNNI: integer kernels
/// are twice as fast as float ones, but five times slower where each channel is convolved alone, and every Quantize or Dequantize that is left costs a step. No clock is read, so the figure is the
/// same everywhere. It is rough: far from 1 it tells which is faster, while networks of a few tens of microseconds were measured on either side of it.
/// </summary>
internal static class SpeedEstimate
{
    // Multiply-accumulates in a microsecond.
    private const double FloatRate = 90_000;
    private const double FloatGroupedRate = 44_000;
    private const double IntegerRate = 170_000;
    private const double IntegerGroupedRate = 9_000;
    private const double MicrosecondsPerOperator = 1;

    /// <param name="work">Multiply-accumulates of the float network's operators.</param>
    /// <param name="integer">First outputs of what became integer.</param>
    /// <param name="floatOperators">Operators of the float network after ONNX Runtime's rewriting.</param>
    /// <param name="integerOperators">Operators of the quantized one.</param>
    public static double Ratio(NodeWork work, IReadOnlySet<string> integer, int floatOperators, int integerOperators)
    {
        var before = floatOperators * MicrosecondsPerOperator;
        var after = integerOperators * MicrosecondsPerOperator;
        foreach (var (key, (macs, _, isGrouped)) in work.Nodes)
        {
            var time = macs / (isGrouped ? FloatGroupedRate : FloatRate);
            before += time;
            after += integer.Contains(key) ? macs / (isGrouped ? IntegerGroupedRate : IntegerRate) : time;
        }
        return after / Math.Max(before, double.Epsilon);
    }
}
