using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Reshape(Softmax(Flatten(x, axis = a), axis = 1), shape of x) normalizes everything from axis a on together; where only one axis follows there, that is Softmax(x, axis = -1).
// It is what an upgrade from opset 12 leaves when the rank was not known then; LogSoftmax and Hardmax likewise.

/// <summary>Takes the reshaping away from a Softmax over the last axis.</summary>
internal sealed class UnflattenSoftmax : Rule
{
    public override string Name => "unflatten-softmax";

    public override Candidate? Match(Node node, ShapeInference types) =>
        MergeReshapes.IsReshape(node) && node.Input(0)?.Producer is { Domain.Length: 0, OpType: "Softmax" or "LogSoftmax" or "Hardmax" } softmax && softmax.Graph == node.Graph
        && softmax.Input(0)?.Producer is { } flatten && flatten.Graph == node.Graph && flatten.Is("Flatten") && flatten.Input(0) is not null
            ? new Found(node, softmax, flatten, types)
            : null;

    private sealed record Found(Node Reshape, Node Softmax, Node Flatten, ShapeInference Types) : Candidate(Reshape, Softmax)
    {
        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Softmax, 1, "axis") ?? Reasons.Unexpected(Flatten, 1, "axis") ?? Reasons.ReadElsewhere(Softmax, Reshape)) is { } blocked)
                return blocked;
            if (Softmax.Int("axis", -1) is not (1 or -1))
                return new Blocked($"'{Softmax.Label}' does not normalize rows");
            var wanted = Reshape.Is("Reshape") && Reshape.Int("allowzero", 0) == 0 && Types.Contents(Reshape.Input(1)) is { } listed ? listed : Types.Output(Reshape).Shape;
            if (Types.Input(Flatten, 0).Shape is not { Length: > 0 } shape || (!ReshapeTarget.AreSame(shape, wanted) && !ReshapeTarget.AreSame(shape, Types.Output(Reshape).Shape)))
                return new Blocked($"'{Reshape.Output.Name}' may have another shape than '{Flatten.Input(0)!.Name}'");
            var axis = Flatten.Int("axis", 1);
            return (axis < 0 ? axis + shape.Length : axis) == shape.Length - 1 ? null : new Blocked($"'{Flatten.Label}' leaves more than the last axis");
        }

        public override Node Rewrite()
        {
            var graph = Reshape.Graph!;
            var computed = Reshape.Input(1);
            var direct = graph.Substitute(Reshape, Softmax.OpType, [Flatten.Input(0)]);
            direct.Set("axis", new AttributeValue.Int(-1));
            direct.Name = Softmax.Name;
            graph.Remove(Softmax);
            Merging.RemoveUnread(Flatten.Output);
            if (computed is not null)
                Merging.RemoveUnread(computed);
            return direct;
        }
    }
}
