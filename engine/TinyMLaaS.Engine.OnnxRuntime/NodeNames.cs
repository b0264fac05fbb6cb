using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime;

/// <summary>What a user says of a network's nodes and weights by name.</summary>
internal static class NodeNames
{
    /// <summary>All nodes, those of nested graphs behind the node that holds them.</summary>
    public static IEnumerable<Node> All(Graph graph) => graph.Nodes.SelectMany(n => n.Subgraphs.SelectMany(All).Prepend(n));

    /// <summary>The nodes of these names, nested graphs included.</summary>
    /// <exception cref="TransformRejectedException"><c>invalid-option</c>: no node has one of the names; all such names at once.</exception>
    public static HashSet<Node> Find(Graph graph, string option, IReadOnlyList<string> names)
    {
        var byName = All(graph).ToLookup(n => n.Label, StringComparer.Ordinal);
        var unknown = names.Where(n => !byName.Contains(n)).Distinct().ToArray();
        return unknown.Length == 0 ? [.. names.SelectMany(n => byName[n])] : throw new TransformRejectedException("invalid-option", string.Join('\n', unknown.Select(n =>
            $"Option '{option}': the network has no node '{n}'; those with weights are {string.Join(", ", All(graph).Where(Quantize.QuantizationPlan.HasWeights).Take(20).Select(w => $"'{w.Label}'"))}.")));
    }

    /// <summary>Older exporters list every weight among the inputs, where a caller could override it. A weight that is rounded cannot be, and the report says which they are.</summary>
    public static JsonArray SealWeights(Graph graph)
    {
        var names = new JsonArray();
        foreach (var initializer in graph.Initializers.Where(i => i.IsInput).ToArray())
        {
            graph.SealInitializer(initializer);
            names.Add(initializer.Name);
        }
        return names;
    }
}
