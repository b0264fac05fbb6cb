using System.Collections.Immutable;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Transpose(Transpose(x, p), q) = Transpose(x, r) with r[i] = p[q[i]]; where r leaves every axis in its place, it is x.
// The first one may have other readers, for which it stays.

/// <summary>Makes one Transpose, or none, of two in a row.</summary>
internal sealed class MergeTransposes : Rule
{
    public override string Name => "merge-transposes";

    public override Candidate? Match(Node node, ShapeInference types) =>
        node.Is("Transpose") && node.Input(0)?.Producer is { } first && first.Graph == node.Graph && first.Is("Transpose") && first.Input(0) is not null ? new Found(node, first) : null;

    private sealed record Found(Node Second, Node First) : Candidate(Second, First)
    {
        private ImmutableArray<long> _order = [];

        private bool IsNothing => _order.Select((axis, i) => axis == i).All(same => same);

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(First, 1, "perm") ?? Reasons.Unexpected(Second, 1, "perm")) is { } blocked)
                return blocked;
            if (First.Ints("perm") is not { } p || Second.Ints("perm") is not { } q)
                return new Blocked("one of the two states no order of axes");
            if (!IsOrder(p) || !IsOrder(q) || p.Length != q.Length)
                return new Blocked($"[{string.Join(',', p.Take(16))}] and [{string.Join(',', q.Take(16))}] are not two orders of the same axes");
            _order = [.. q.Select(axis => p[(int)axis])];
            return IsNothing && Second.Graph!.WhyNotReplace(Second.Output, First.Input(0)!) is { } reason ? new Blocked(reason) : null;
        }

        public override Node? Rewrite()
        {
            var graph = Second.Graph!;
            if (IsNothing)
            {
                graph.Replace(Second.Output, First.Input(0)!);
                graph.Remove(Second);
            }
            else
            {
                Second.SetInput(0, First.Input(0));
                Second.Set("perm", new AttributeValue.Ints(_order));
            }
            Merging.RemoveUnread(First.Output);
            return IsNothing ? null : Second;
        }

        private static bool IsOrder(ImmutableArray<long> order) => order.Order().Select((axis, i) => axis == i).All(same => same);
    }
}
