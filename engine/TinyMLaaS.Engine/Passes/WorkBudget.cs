using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Passes;

/// <summary>
/// Bytes that a pass may compute: a constant amount and several times what the model's constants take, which no honest model comes near. A file of one
/// megabyte could otherwise ask, node by node, for terabytes of work on the same constant.
/// </summary>
internal sealed class WorkBudget
{
    private const long FreeBytes = 64 << 20;
    private const long Times = 16;

    private long _left;

    private WorkBudget(long left) => _left = left;

    /// <summary>What the model's size justifies.</summary>
    public static WorkBudget Of(Model model) => new(FreeBytes + (Times * BytesOf(model.Graph)));

    /// <summary>Takes the bytes off; false, and nothing taken, when they are not left.</summary>
    public bool TrySpend(long bytes)
    {
        if (bytes > _left)
            return false;
        _left -= bytes;
        return true;
    }

    private static long BytesOf(Graph graph) =>
        graph.Initializers.Sum(i => (long)i.Constant!.Bytes.Length)
        + graph.Nodes.Sum(n => n.Attributes.Values.OfType<AttributeValue.Constant>().Sum(c => (long)c.Value.Bytes.Length) + n.Subgraphs.Sum(BytesOf));
}
