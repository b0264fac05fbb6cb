using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Slice from the first element to past the last by steps of 1, Pad by nothing, Cast to the type that x has, Transpose that leaves every axis in its place, Concat of one
// part, Expand and Tile to the same shape: each gives x.

/// <summary>Removes operators that give what they take.</summary>
internal sealed class EliminateNoOp : Rule
{
    public override string Name => "eliminate-no-op";

    public override Candidate? Match(Node node, ShapeInference types) =>
        node.Domain.Length == 0 && node.Outputs is [not null] && node.Input(0) is not null && DoesNothing(node, types) ? new Found(node) : null;

    private static bool DoesNothing(Node node, ShapeInference types) => node.OpType switch
    {
        "Slice" => Reasons.Unexpected(node, 5) is null && SlicesNothing(node, types),
        "Pad" => Reasons.Unexpected(node, 4, "mode") is null && OperatorShapes.List(node, 1) is { } pads && pads.All(p => p == 0),
        "Cast" => types.Input(node, 0).Element is var type and not ElementType.Undefined && (ElementType)node.Int("to", 0) == type,
        "Transpose" => node.Ints("perm") is { } order && order.Select((axis, i) => axis == i).All(same => same),
        "Concat" => node.Inputs.Count == 1,
        "Expand" or "Tile" => ReshapeTarget.AreSame(types.Output(node).Shape, types.Input(node, 0).Shape),
        _ => false,
    };

    private static bool SlicesNothing(Node node, ShapeInference types)
    {
        if (OperatorShapes.List(node, 1) is not { } starts || OperatorShapes.List(node, 2) is not { } ends || ends.Length != starts.Length || starts.Any(s => s != 0))
            return false;
        if (node.Input(4) is not null && OperatorShapes.List(node, 4)?.All(s => s == 1) != true)
            return false;
        if (ends.All(e => e >= int.MaxValue))
            return true;
        // Ends that only a known extent tells to be past the last element.
        return ReshapeTarget.AreSame(types.Output(node).Shape, types.Input(node, 0).Shape) && types.Output(node).StaticShape is not null;
    }

    private sealed record Found(Node Node) : Candidate(Node, null)
    {
        public override Blocked? Check() => Node.Graph!.WhyNotReplace(Node.Output, Node.Input(0)!) is { } reason ? new Blocked(reason) : null;

        public override Node? Rewrite()
        {
            var graph = Node.Graph!;
            graph.Replace(Node.Output, Node.Input(0)!);
            graph.Remove(Node);
            return null;
        }
    }
}
