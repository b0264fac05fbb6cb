using System.Collections.Immutable;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// AveragePool(Pad(x, p)) with zeros added along spatial axes only, by a pool that has no padding of its own and rounds its extents down, is AveragePool(x) with pads p that
// count: every window still divides by its whole size.

/// <summary>Merges the zero padding before an AveragePool into it.</summary>
internal sealed class MergePadIntoAveragePool : Rule
{
    public override string Name => "merge-pad-into-average-pool";

    public override Candidate? Match(Node node, ShapeInference types) =>
        node.Is("AveragePool") && node.Input(0)?.Producer is { } pad && pad.Graph == node.Graph && pad.Is("Pad") ? new Found(node, pad, types.Input(pad, 0).Rank) : null;

    private sealed record Found(Node Pool, Node Pad, int? Rank) : Candidate(Pool, Pad)
    {
        private ImmutableArray<long> _pads = [];

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Pool, 1, "auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides") ?? Reasons.ReadElsewhere(Pad, Pool)) is { } blocked)
                return blocked;
            var (added, reason) = MergePadIntoConv.SpatialZeros(Pad, Rank);
            if (added is not { } pads)
                return reason;
            if (Pool.Text("auto_pad", "NOTSET") is not ("NOTSET" or "VALID") || Pool.Ints("pads")?.Any(p => p != 0) == true)
                return new Blocked($"'{Pool.Label}' pads too, by zeros that may not count");
            if (Pool.Int("ceil_mode", 0) != 0)
                return new Blocked($"'{Pool.Label}' rounds its extents up");
            if (Pool.Ints("kernel_shape") is not { } kernel || kernel.Length * 2 != pads.Length || kernel.Where((k, i) => pads[i] >= k || pads[i + kernel.Length] >= k).Any())
                return new Blocked($"'{Pad.Label}' adds as much as a whole window of '{Pool.Label}'");
            _pads = pads;
            return null;
        }

        public override Node Rewrite()
        {
            Pool.SetInput(0, Pad.Input(0));
            Pool.Set("auto_pad", null);
            Pool.Set("pads", new AttributeValue.Ints(_pads));
            Pool.Set("count_include_pad", new AttributeValue.Int(1));
            Pad.Graph!.Remove(Pad);
            return Pool;
        }
    }
}
