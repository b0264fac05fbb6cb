using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Passes;

/// <summary>Runs passes in order and verifies the graph after each, so that a broken graph is found where it broke.</summary>
internal static class PassRunner
{
    /// <exception cref="InvalidOperationException">A pass left a broken graph: a bug of ours. The message names it and the passes before it.</exception>
    public static IReadOnlyList<PassResult> Run(Model model, IReadOnlyList<Pass> passes, PassContext context)
    {
        var results = new List<PassResult>(passes.Count);
        foreach (var pass in passes)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            results.Add(pass.Apply(model, context));
            if (model.Graph.Verify() is { Count: > 0 } problems)
            {
                var before = results.Count == 1 ? "the first one" : $"after {string.Join(", ", passes.Take(results.Count - 1).Select(p => p.Name))}";
                throw new InvalidOperationException($"Pass {pass.Name} ({before}) left a broken graph: {string.Join("; ", problems.Take(10))}.");
            }
        }
        return results;
    }
}
