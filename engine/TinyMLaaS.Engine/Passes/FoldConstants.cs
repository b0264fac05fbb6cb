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
        Walk(model.Graph, ShapeInference.Of(model), context, removed);
        return new PassResult { IsModified = removed.Values.Sum() > 0, Removed = removed };
    }

    private static void Walk(Graph graph, ShapeInference types, PassContext context, SortedDictionary<string, int> removed)
    {
        foreach (var node in graph.Nodes)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            foreach (var nested in node.Subgraphs)
                Walk(nested, types, context, removed);
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
            if (ConstantEvaluator.Evaluate(node, types) is not { } contents)
                continue;
            removed[node.Is("Constant") ? "constant" : "folded"]++;
            graph.Freeze(node, contents);
        }
    }
}
