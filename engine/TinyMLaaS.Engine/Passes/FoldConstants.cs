using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Passes;

/// <summary>
/// Computes what depends on nothing a caller passes: nodes over constants, shapes that are known, Constant nodes. The results become initializers under
/// the names they had. Quantize- and DequantizeLinear are left: folding them would undo a quantization.
/// </summary>
internal sealed class FoldConstants : Pass
{
    public override string Name => "fold-constants";

    public override PassResult Apply(Model model, PassContext context)
    {
        var removed = new SortedDictionary<string, int>(StringComparer.Ordinal) { ["constant"] = 0, ["folded"] = 0 };
        Walk(model.Graph, ShapeInference.Exact(model), context, WorkBudget.Of(model), removed);
        return new PassResult { IsModified = removed.Values.Sum() > 0, Removed = removed };
    }

    private static void Walk(Graph graph, ShapeInference types, PassContext context, WorkBudget budget, SortedDictionary<string, int> removed)
    {
        foreach (var node in graph.Nodes)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            foreach (var nested in node.Subgraphs)
                Walk(nested, types, context, budget, removed);
            types.Refresh(node);
            // A graph output stays the output of a node: not every runtime returns an initializer.
            if (context.IsExcluded(node) || node.Outputs.Any(o => o is { IsOutput: true }))
                continue;
            if (node.Is("Identity") && node.Input(0) is { IsConstant: true } constant)
            {
                // Its readers read the constant itself, of which one copy is enough.
                graph.Replace(node.Output, constant);
                graph.Remove(node);
                removed["folded"]++;
                continue;
            }
            if (ConstantEvaluator.Evaluate(node, types, budget) is not { } contents)
                continue;
            removed[node.Is("Constant") ? "constant" : "folded"]++;
            var read = node.Inputs.OfType<Value>().Distinct().ToList();
            graph.Freeze(node, contents);
            // At once: a chain of such nodes would keep every step of it in memory.
            foreach (var spent in read.Where(v => v is { IsConstant: true, IsOutput: false, Uses.Count: 0 }))
                spent.Graph.RemoveInitializer(spent);
        }
    }
}
