using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

/// <summary>Which output channel each weight of a Conv or ConvTranspose works for.</summary>
/// <param name="Channels">Output channels.</param>
/// <param name="ChannelOf">From a weight's place to its channel.</param>
internal sealed record ConvLayout(long Channels, Func<int, int> ChannelOf)
{
    /// <summary>Reads a Conv or ConvTranspose whose weight can be changed and whose bias is known; the reason when it is not such a one.</summary>
    public static (ConvLayout? Layout, Blocked? Blocked) Of(Node conv)
    {
        var isTransposed = conv.OpType == "ConvTranspose";
        if ((Reasons.Unexpected(conv, 3, "auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides")
            ?? Reasons.NoFloatConstant(conv.Input(1), "weight") ?? Reasons.Shared(conv.Input(1)!, conv, "weight")) is { } blocked)
            return (null, blocked);
        var weight = conv.Input(1)!.Constant!;
        var group = conv.Int("group", 1);
        if (weight.Shape.Length < 3 || group < 1 || weight.Shape[0] % group != 0)
            return (null, new Blocked($"its weight '{conv.Input(1)!.Name}' has the shape [{string.Join(',', weight.Shape)}] for {group} groups"));
        var channels = isTransposed ? checked(weight.Shape[1] * group) : weight.Shape[0];
        if (conv.Input(2) is { } bias && (Reasons.NoFloatConstant(bias, "bias") ?? Reasons.NoVector(bias, channels, "bias")) is { } wrong)
            return (null, wrong);
        // ConvTranspose has W as [C, M/group, ...]: row c and column j work for channel m = (c / (C/group)) * (M/group) + j.
        var perRow = (int)Math.Max(1, weight.Count / Math.Max(1, weight.Shape[0]));
        var perColumn = (int)Math.Max(1, isTransposed ? perRow / Math.Max(1, weight.Shape[1]) : 1);
        var rowsPerGroup = (int)Math.Max(1, weight.Shape[0] / group);
        var columns = (int)weight.Shape[1];
        return (new ConvLayout(channels, isTransposed ? i => (i / perRow / rowsPerGroup * columns) + (i % perRow / perColumn) : i => i / perRow), null);
    }
}
