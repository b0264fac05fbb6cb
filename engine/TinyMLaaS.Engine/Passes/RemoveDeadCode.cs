using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Passes;

/// <summary>Removes nodes and initializers that no output depends on, in nested graphs first, since what goes there frees what is around.</summary>
internal sealed class RemoveDeadCode : Pass
{
    public override string Name => "remove-dead-code";

    public override PassResult Apply(Model model, PassContext context)
    {
        var before = CountInitializers(model.Graph);
        var removed = Remove(model.Graph);
        return new PassResult
        {
            IsModified = removed > 0 || CountInitializers(model.Graph) != before,
            Removed = new Dictionary<string, int> { ["unused"] = removed },
        };
    }

    private static int Remove(Graph graph) =>
        graph.Nodes.SelectMany(n => n.Subgraphs).ToArray().Sum(Remove) + graph.RemoveUnused();

    private static int CountInitializers(Graph graph) => graph.Initializers.Count + graph.Nodes.Sum(n => n.Subgraphs.Sum(CountInitializers));
}
