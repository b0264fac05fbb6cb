using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// A Transpose under which the axes longer than 1 keep their order moves no element: it is a Reshape to the shape of its output.

/// <summary>Turns a Transpose that moves only axes of extent 1 into a Reshape, which costs nothing and merges with others.</summary>
internal sealed class TransposeIntoReshape : Rule
{
    public override string Name => "transpose-into-reshape";

    public override Candidate? Match(Node node, ShapeInference types)
    {
        if (!node.Is("Transpose") || node.Input(0) is null || node.Ints("perm") is not { } order || types.Input(node, 0).Shape is not { } shape || shape.Length != order.Length)
            return null;
        var moved = order.Where(axis => axis >= 0 && axis < shape.Length && shape[(int)axis].Value != 1).ToList();
        return moved.Zip(moved.Skip(1)).All(pair => pair.First < pair.Second) ? new Found(node, types) : null;
    }

    private sealed record Found(Node Transpose, ShapeInference Types) : Candidate(Transpose, null)
    {
        private long[] _target = [];

        public override Blocked? Check()
        {
            if (Reasons.Unexpected(Transpose, 1, "perm") is { } unexpected)
                return unexpected;
            if (Types.Output(Transpose).Shape is not { } wanted || ReshapeTarget.Of(wanted, Types.Input(Transpose, 0).Shape) is not { } target)
                return new Blocked($"of the shape of '{Transpose.Output.Name}' more than one extent is open, or one is 0");
            _target = target;
            return null;
        }

        public override Node Rewrite() => ReshapeTarget.Put(Transpose, Transpose.Input(0)!, _target);
    }
}
