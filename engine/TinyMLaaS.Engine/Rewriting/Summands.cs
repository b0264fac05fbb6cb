using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

/// <summary>Takes an Add, or the Sub of a constant, apart.</summary>
internal static class Summands
{
    /// <summary>The node on one side and the constant on the other, which may still be one that callers can override, with the sign it is added with; null for any other node.</summary>
    public static (Node Node, Value Constant, int Sign)? Of(Node sum, Func<Node, bool> isWanted) =>
        Operands.Of(sum, "Add", "Sub", isWanted) is var (node, constant, isInverse) ? (node, constant, isInverse ? -1 : 1) : null;
}

/// <summary>Takes an operator of two operands apart, one of which is a constant.</summary>
internal static class Operands
{
    /// <summary>
    /// For <paramref name="op"/>, whose operands may be swapped, and <paramref name="inverse"/>, of which the constant must come second: the wanted node on one side, the constant on
    /// the other, and whether it was the inverse; null for anything else.
    /// </summary>
    public static (Node Node, Value Constant, bool IsInverse)? Of(Node node, string op, string inverse, Func<Node, bool> isWanted)
    {
        var isInverse = node.Is(inverse);
        if ((!node.Is(op) && !isInverse) || node.Inputs.Count != 2)
            return null;
        for (var i = 0; i < (isInverse ? 1 : 2); i++)
        {
            if (node.Input(i)?.Producer is { } producer && producer.Graph == node.Graph && isWanted(producer) && node.Input(1 - i) is { Constant: not null } constant)
                return (producer, constant, isInverse);
        }
        return null;
    }
}
