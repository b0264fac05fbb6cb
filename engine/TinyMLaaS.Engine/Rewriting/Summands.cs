using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

/// <summary>Takes an Add apart.</summary>
internal static class Summands
{
    /// <summary>The node on one side and the constant on the other, which may still be one that callers can override; null for any other Add.</summary>
    public static (Node Node, Value Constant)? Of(Node add, Func<Node, bool> isWanted)
    {
        if (!add.Is("Add") || add.Inputs.Count != 2)
            return null;
        for (var i = 0; i < 2; i++)
        {
            if (add.Input(i)?.Producer is { } producer && producer.Graph == add.Graph && isWanted(producer) && add.Input(1 - i) is { Constant: not null } constant)
                return (producer, constant);
        }
        return null;
    }
}
