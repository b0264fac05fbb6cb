using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Reshape, Flatten, Squeeze and Unsqueeze keep the elements and their order, so g(f(x)) is one Reshape of x to the shape of the last; where that is x's own shape, it is x.
// The first one may have other readers, for which it stays.

/// <summary>Makes one Reshape, or nothing, of a chain of operators that change the shape only.</summary>
internal sealed class MergeReshapes : Rule
{
    public override string Name => "merge-reshapes";

    public override Candidate? Match(Node node, ShapeInference types)
    {
        if (!IsReshape(node) || node.Input(0) is not { } input)
            return null;
        var first = input.Producer is { } producer && producer.Graph == node.Graph && IsReshape(producer) && producer.Input(0) is not null ? producer : null;
        return first is not null || ReshapeTarget.AreSame(types.Output(node).Shape, types.Input(node, 0).Shape) ? new Found(node, first, types) : null;
    }

    /// <summary>True for operators that give the elements of their first input in another shape.</summary>
    public static bool IsReshape(Node node) => node.Domain.Length == 0 && node.OpType is "Reshape" or "Flatten" or "Squeeze" or "Unsqueeze";

    private sealed record Found(Node Last, Node? First, ShapeInference Types) : Candidate(Last, First)
    {
        private long[]? _target;

        private Value Data => (First ?? Last).Input(0)!;

        public override Blocked? Check()
        {
            if (Reasons.Unexpected(Last, 2, "allowzero", "axis", "axes") is { } unexpected)
                return unexpected;
            if (First is not null && Reasons.Unexpected(First, 2, "allowzero", "axis", "axes") is { } odd)
                return odd;
            if (Types.Output(Last).Shape is not { } wanted)
                return new Blocked($"the shape of '{Last.Output.Name}' is not known");
            var data = Types[Data].Shape;
            if (ReshapeTarget.AreSame(wanted, data) && Last.Graph!.WhyNotReplace(Last.Output, Data) is null)
                return null;
            if (First is null)
                return new Blocked(Last.Graph!.WhyNotReplace(Last.Output, Data) ?? "its shape is not known");
            _target = ReshapeTarget.Of(wanted, data);
            return _target is null ? new Blocked($"of the shape of '{Last.Output.Name}' more than one extent is open, or one is 0") : null;
        }

        public override Node? Rewrite()
        {
            var graph = Last.Graph!;
            var data = Data;
            Node? merged = null;
            if (_target is null)
            {
                graph.Replace(Last.Output, data);
                graph.Remove(Last);
            }
            else
            {
                merged = ReshapeTarget.Put(Last, data, _target);
            }
            if (First is not null)
                Merging.RemoveUnread(First.Output);
            return merged;
        }
    }
}
