using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Reshape(x, s), where s is worked out from shapes (Shape, Gather, Slice, Unsqueeze, Cast, Concat, ...): each element of s is a number, or an extent that x has at the
// same place (0), or one unknown (-1). Then s = constant of these. With allowzero, 0 would not mean the extent of x.

/// <summary>Gives a Reshape a constant shape where all but one of its extents are numbers or extents of what it reshapes, which leaves the computation of the shape unused.</summary>
internal sealed class FixShapeOfReshape : Rule
{
    public override string Name => "fix-shape-of-reshape";

    public override Candidate? Match(Node node, ShapeInference types) =>
        node.Is("Reshape") && node.Input(0) is not null && node.Input(1) is { IsConstant: false } ? new Found(node, types) : null;

    private sealed record Found(Node Reshape, ShapeInference Types) : Candidate(Reshape, null)
    {
        private long[] _target = [];

        public override Blocked? Check()
        {
            if (Reasons.Unexpected(Reshape, 2, "allowzero") is { } unexpected)
                return unexpected;
            if (Reshape.Int("allowzero", 0) != 0)
                return new Blocked("a 0 in its shape stands for no elements (allowzero)");
            if (Types.Contents(Reshape.Input(1)) is not { } wanted)
                return new Blocked($"what its shape '{Reshape.Input(1)!.Name}' holds is not known");
            var data = Types.Input(Reshape, 0).Shape;
            // The list's own 0 and -1 keep their meaning; what takes the place of an extent must not add a second -1.
            var open = wanted.Count(d => d.Value == -1);
            if (open > 1 || wanted.Any(d => d.Value < -1))
                return new Blocked($"its shape '{Reshape.Input(1)!.Name}' is none");
            _target = new long[wanted.Length];
            for (var i = 0; i < _target.Length; i++)
            {
                var isOwn = wanted[i].Symbol is not null && data is { } own && i < own.Length && own[i] == wanted[i];
                _target[i] = wanted[i].Value ?? (isOwn ? 0 : -1);
                if (_target[i] == -1 && wanted[i].Value is null && open++ > 0)
                    return new Blocked($"two extents of its shape '{Reshape.Input(1)!.Name}' are neither numbers nor its input's own");
            }
            return null;
        }

        public override Node Rewrite()
        {
            var computed = Reshape.Input(1)!;
            Reshape.SetInput(1, Reshape.Graph!.AddConstant($"{Reshape.Output.Name}_shape", Tensor.Vector<long>(_target)));
            Merging.RemoveUnread(computed);
            return Reshape;
        }
    }
}
