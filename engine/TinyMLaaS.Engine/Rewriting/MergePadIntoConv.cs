using System.Collections.Immutable;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Conv(Pad(x, p), W, b) with zeros added along spatial axes only is Conv(x, W, b) with pads + p: a Conv's own padding is zeros too.
// With auto_pad SAME the padding depends on the padded extent, so only NOTSET and VALID (no padding) count.

/// <summary>Merges the zero padding before a Conv into it.</summary>
internal sealed class MergePadIntoConv : Rule
{
    public override string Name => "merge-pad-into-conv";

    public override Candidate? Match(Node node, ShapeInference types) =>
        node.Is("Conv") && node.Input(0)?.Producer is { } pad && pad.Graph == node.Graph && pad.Is("Pad") ? new Found(node, pad, types.Input(pad, 0).Rank) : null;

    /// <summary>The zeros that a Pad adds along spatial axes, as a Conv's pads are written; the reason when it does anything else.</summary>
    public static (ImmutableArray<long>? Pads, Blocked? Blocked) SpatialZeros(Node pad, int? inputRank)
    {
        if (Reasons.Unexpected(pad, 4, "mode") is { } unexpected)
            return (null, unexpected);
        if (pad.Text("mode", "constant") is var mode && mode != "constant")
            return (null, new Blocked($"'{pad.Label}' pads by '{mode}', not by zeros"));
        if (pad.Input(2) is { } value && !(value is { IsConstant: true, Constant: { Type: ElementType.Float, Count: 1 } number } && number.As<float>()[0] == 0))
            return (null, new Blocked($"its value '{value.Name}' is not a constant zero"));
        if (inputRank is not { } rank || rank < 3)
            return (null, new Blocked($"the rank of '{pad.Input(0)?.Name}' is not known"));
        if (OperatorShapes.List(pad, 1) is not { } added)
            return (null, new Blocked($"its pads '{pad.Input(1)?.Name}' are not constant"));
        if (pad.Input(3) is not null || added.Length != 2 * rank)
            return (null, new Blocked($"'{pad.Label}' pads some axes only"));
        return added.Any(p => p is < 0 or > int.MaxValue) || added[0] != 0 || added[1] != 0 || added[rank] != 0 || added[rank + 1] != 0
            ? (null, new Blocked($"'{pad.Label}' cuts, or pads batch or channels"))
            : ([.. added[2..rank], .. added[(rank + 2)..]], null);
    }

    private sealed record Found(Node Conv, Node Pad, int? Rank) : Candidate(Conv, Pad)
    {
        private ImmutableArray<long> _pads = [];

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Conv, 3, "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides") ?? Reasons.ReadElsewhere(Pad, Conv)) is { } blocked)
                return blocked;
            var (zeros, reason) = SpatialZeros(Pad, Rank);
            if (zeros is not { } added)
                return reason;
            if (Conv.Text("auto_pad", "NOTSET") is not ("NOTSET" or "VALID"))
                return new Blocked($"'{Conv.Label}' pads by '{Conv.Text("auto_pad", "")}'");
            var own = Conv.Text("auto_pad", "NOTSET") == "NOTSET" && Conv.Ints("pads") is { } stated ? stated : [.. new long[added.Length]];
            if (own.Length != added.Length)
                return new Blocked($"'{Conv.Label}' has {own.Length} pads for {added.Length / 2} axes");
            _pads = [.. own.Zip(added, (a, b) => checked(a + b))];
            return null;
        }

        public override Node Rewrite()
        {
            Conv.SetInput(0, Pad.Input(0));
            Conv.Set("auto_pad", null);
            Conv.Set("pads", new AttributeValue.Ints(_pads));
            Pad.Graph!.Remove(Pad);
            return Conv;
        }
    }
}
