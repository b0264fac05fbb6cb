using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Identity(x) = x.  Dropout(x) = x at inference, that is without training_mode or with a constant false one.

/// <summary>Removes Identity, and Dropout that does nothing at inference.</summary>
internal sealed class EliminateIdentity : Rule
{
    public override string Name => "eliminate-identity";

    public override Candidate? Match(Node node, ShapeInference types) =>
        (node.Is("Identity") || node.Is("Dropout")) && node.Input(0) is not null && node.Outputs is [not null, ..] ? new Found(node) : null;

    private sealed record Found(Node Node) : Candidate(Node, null)
    {
        public override Blocked? Check()
        {
            if (Node.OpType == "Dropout")
            {
                if ((Reasons.Unexpected(Node, 3, "seed") ?? TrainingMode()) is { } blocked)
                    return blocked;
                if (Node.Outputs.Count > 1 && Node.Outputs[1] is { } mask && (mask.IsOutput || mask.Uses.Count > 0))
                    return new Blocked($"its mask '{mask.Name}' is read");
            }
            else if (Reasons.Unexpected(Node, 1) is { } unexpected)
            {
                return unexpected;
            }
            return Node.Graph!.WhyNotReplace(Node.Output, Node.Input(0)!) is { } reason ? new Blocked(reason) : null;
        }

        public override Node? Rewrite()
        {
            var graph = Node.Graph!;
            graph.Replace(Node.Output, Node.Input(0)!);
            graph.Remove(Node);
            return null;
        }

        private Blocked? TrainingMode() => Node.Input(2) switch
        {
            null => null,
            { IsConstant: true, Constant: { Type: ElementType.Bool, Count: 1 } flag } mode => flag.As<bool>()[0] ? new Blocked($"its training mode '{mode.Name}' is on") : null,
            var mode => new Blocked($"its training mode '{mode.Name}' is not constant"),
        };
    }
}
