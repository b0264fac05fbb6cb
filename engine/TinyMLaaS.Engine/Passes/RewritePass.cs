using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Rewriting;

namespace TinyMLaaS.Engine.Passes;

/// <summary>Tries rules at every node, nested graphs included, in the order of the list, again and again until a whole round changes nothing.</summary>
internal sealed class RewritePass(string name, IReadOnlyList<Rule> rules) : Pass
{
    public override string Name => name;

    public override PassResult Apply(Model model, PassContext context)
    {
        var applied = new List<Applied>();
        // Earlier rounds' refusals may no longer hold: only those of the last one count.
        var refused = new List<Refusal>();
        int before;
        do
        {
            before = applied.Count;
            refused.Clear();
            Walk(model.Graph, ShapeInference.Of(model), context, applied, refused);
        }
        while (applied.Count > before);
        return new PassResult { IsModified = applied.Count > 0, Applied = applied, Refused = refused };
    }

    private void Walk(Graph graph, ShapeInference types, PassContext context, List<Applied> applied, List<Refusal> refused)
    {
        foreach (var node in graph.Nodes)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            foreach (var nested in node.Subgraphs)
                Walk(nested, types, context, applied, refused);
            foreach (var rule in rules)
            {
                if (rule.Match(node, types) is not { } candidate)
                    continue;
                if (candidate.Nodes.FirstOrDefault(context.IsExcluded) is { } excluded)
                {
                    refused.Add(new Refusal(rule.Name, node.Label, $"'{excluded.Label}' is excluded"));
                    continue;
                }
                if (candidate.Check() is { } blocked)
                {
                    refused.Add(new Refusal(rule.Name, node.Label, blocked.Reason));
                    continue;
                }
                var label = node.Label;
                var result = candidate.Rewrite();
                if (result is not null)
                    result.Provenance = result.Provenance.Add(rule.Name);
                applied.Add(new Applied(rule.Name, label, result?.Label));
                break;
            }
        }
    }
}
