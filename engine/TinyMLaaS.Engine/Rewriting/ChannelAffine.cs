using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

/// <summary>y = Scale[c] * x + Shift[c] for every channel c: what a BatchNormalization does at inference.</summary>
/// <param name="Scale">One factor a channel.</param>
/// <param name="Shift">One summand a channel.</param>
internal sealed record ChannelAffine(double[] Scale, double[] Shift)
{
    // s = gamma / sqrt(variance + epsilon);  t = beta - mean * s      (Ioffe and Szegedy 2015, algorithm 2)
    /// <summary>Reads a BatchNormalization over <paramref name="channels"/> channels; the reason when it does more than that.</summary>
    public static (ChannelAffine? Affine, Blocked? Blocked) Of(Node bn, long channels)
    {
        if (bn.Int("training_mode", 0) != 0)
            return (null, new Blocked("it runs in training mode"));
        if (bn.Outputs.Count != 1)
            return (null, new Blocked("it has the outputs of training mode"));
        if (Reasons.Unexpected(bn, 5, "epsilon", "momentum", "training_mode") is { } unexpected)
            return (null, unexpected);
        string[] names = ["", "scale", "shift", "mean", "variance"];
        for (var i = 1; i <= 4; i++)
        {
            if ((Reasons.NoFloatConstant(bn.Input(i), names[i]) ?? Reasons.NoVector(bn.Input(i)!, channels, names[i])) is { } blocked)
                return (null, blocked);
        }
        var gamma = bn.Input(1)!.Constant!.As<float>();
        var beta = bn.Input(2)!.Constant!.As<float>();
        var mean = bn.Input(3)!.Constant!.As<float>();
        var variance = bn.Input(4)!.Constant!.As<float>();
        var epsilon = bn.Float("epsilon", 1e-5f);
        var scale = new double[channels];
        var shift = new double[channels];
        for (var c = 0; c < channels; c++)
        {
            var spread = (double)variance[c] + epsilon;
            if (!(spread > 0))
                return (null, new Blocked($"the variance of channel {c} plus epsilon is {spread:R}, which has no root"));
            scale[c] = gamma[c] / Math.Sqrt(spread);
            shift[c] = beta[c] - (mean[c] * scale[c]);
        }
        return (new ChannelAffine(scale, shift), null);
    }

    /// <summary>Multiplication by, or division through, one number a channel.</summary>
    public static ChannelAffine OfFactor(float[] factor, bool isDivisor) =>
        new(Array.ConvertAll(factor, f => isDivisor ? 1 / (double)f : f), new double[factor.Length]);

    /// <summary>b' = b * s + t, where no b counts as 0.</summary>
    public float[] Bias(ReadOnlySpan<float> bias)
    {
        var result = new float[Scale.Length];
        for (var c = 0; c < result.Length; c++)
            result[c] = (float)(((bias.IsEmpty ? 0 : bias[c]) * Scale[c]) + Shift[c]);
        return result;
    }

    /// <summary>Every weight times the scale of the channel it works for.</summary>
    public float[] Weight(ReadOnlySpan<float> weight, Func<int, int> channelOf)
    {
        var result = new float[weight.Length];
        for (var i = 0; i < result.Length; i++)
            result[i] = (float)(weight[i] * Scale[channelOf(i)]);
        return result;
    }
}
