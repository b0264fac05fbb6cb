using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Rewriting;

namespace TinyMLaaS.Engine.Passes;

/// <summary>Tries rules at every node, nested graphs included, in the order of the list, again and again until a whole round changes nothing.</summary>
internal sealed class RewritePass(string name, IReadOnlyList<Rule> rules) : Pass
{
    /// <summary>Rounds after which a network stays as it is: each costs a walk, and real ones are done after three.</summary>
    private const int MostRounds = 32;

    /// <summary>Names are as long as a file makes them.</summary>
    private const int LongestReason = 500;

    public override string Name => name;

    public override PassResult Apply(Model model, PassContext context)
    {
        var applied = new List<Applied>();
        // Earlier rounds' refusals may no longer hold: only those of the last one count.
        var refused = new List<Refusal>();
        var budget = WorkBudget.Of(model);
        var rounds = 0;
        int before;
        do
        {
            before = applied.Count;
            refused.Clear();
            Walk(model.Graph, ShapeInference.Exact(model), context, budget, applied, refused);
        }
        while (applied.Count > before && ++rounds < MostRounds);
        return new PassResult { IsModified = applied.Count > 0, Applied = applied, Refused = refused };
    }

    private void Walk(Graph graph, ShapeInference types, PassContext context, WorkBudget budget, List<Applied> applied, List<Refusal> refused)
    {
        foreach (var node in graph.Nodes)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            foreach (var nested in node.Subgraphs)
                Walk(nested, types, context, budget, applied, refused);
            foreach (var rule in rules)
            {
                if (rule.Match(node, types) is not { } candidate)
                    continue;
                if (candidate.Nodes.FirstOrDefault(context.IsExcluded) is { } excluded)
                {
                    refused.Add(new Refusal(rule.Name, node.Label, $"'{excluded.Label}' is excluded"));
                    continue;
                }
                var blocked = budget.TrySpend(candidate.Bytes) ? candidate.Check() : new Blocked("too much has been computed for a network of this size");
                if (blocked is not null)
                {
                    refused.Add(new Refusal(rule.Name, node.Label, blocked.Reason.Length <= LongestReason ? blocked.Reason : blocked.Reason[..LongestReason] + "..."));
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
