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

    private sealed record Found(Node Conv, Node Pad, int? Rank) : Candidate(Conv, Pad)
    {
        private ImmutableArray<long> _pads = [];

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Conv, 3, "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides") ?? Reasons.Unexpected(Pad, 4, "mode") ?? Reasons.ReadElsewhere(Pad, Conv)) is { } blocked)
                return blocked;
            if (Pad.Text("mode", "constant") is var mode && mode != "constant")
                return new Blocked($"'{Pad.Label}' pads by '{mode}', not by zeros");
            if (Pad.Input(2) is { } value && !(value is { IsConstant: true, Constant: { Type: ElementType.Float, Count: 1 } number } && number.As<float>()[0] == 0))
                return new Blocked($"its value '{value.Name}' is not a constant zero");
            if (Rank is not { } rank || rank < 3)
                return new Blocked($"the rank of '{Pad.Input(0)?.Name}' is not known");
            if (OperatorShapes.List(Pad, 1) is not { } added)
                return new Blocked($"its pads '{Pad.Input(1)?.Name}' are not constant");
            if (Pad.Input(3) is not null || added.Length != 2 * rank)
                return new Blocked($"'{Pad.Label}' pads some axes only");
            var spatial = rank - 2;
            if (added.Any(p => p is < 0 or > int.MaxValue) || added[0] != 0 || added[1] != 0 || added[rank] != 0 || added[rank + 1] != 0)
                return new Blocked($"'{Pad.Label}' cuts, or pads batch or channels");
            if (Conv.Text("auto_pad", "NOTSET") is not ("NOTSET" or "VALID"))
                return new Blocked($"'{Conv.Label}' pads by '{Conv.Text("auto_pad", "")}'");
            var own = Conv.Text("auto_pad", "NOTSET") == "NOTSET" && Conv.Ints("pads") is { } stated ? stated : [.. new long[2 * spatial]];
            if (own.Length != 2 * spatial)
                return new Blocked($"'{Conv.Label}' has {own.Length} pads for {spatial} axes");
            _pads = [.. own.Select((p, i) => checked(p + added[i < spatial ? i + 2 : i + 4]))];
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
