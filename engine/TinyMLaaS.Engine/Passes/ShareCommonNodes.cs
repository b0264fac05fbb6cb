using System.Globalization;
using System.Text;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Passes;

/// <summary>
/// Keeps one of several nodes that compute the same: operator, inputs (or the content of small constants) and attributes alike. Left alone: operators of other domains, those that draw random
/// numbers, those with graphs or tensors in their attributes, and quantization, whose pairs are what integer kernels are recognized by.
/// </summary>
internal sealed class ShareCommonNodes : Pass
{
    /// <summary>Bytes of a constant up to which its content is compared.</summary>
    private const int LargestContent = 64;

    public override string Name => "share-common-nodes";

    public override PassResult Apply(Model model, PassContext context)
    {
        var shared = Walk(model.Graph, context);
        return new PassResult { IsModified = shared > 0, Removed = new Dictionary<string, int> { ["common"] = shared } };
    }

    private static int Walk(Graph graph, PassContext context)
    {
        var shared = 0;
        var known = new Dictionary<string, Node>(StringComparer.Ordinal);
        var numbers = new Dictionary<Value, int>();
        foreach (var node in graph.Nodes)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            shared += node.Subgraphs.Sum(nested => Walk(nested, context));
            if (context.IsExcluded(node) || KeyOf(node, numbers) is not { } key || known.TryAdd(key, node))
                continue;
            var first = known[key];
            var pairs = node.Outputs.Zip(first.Outputs).ToList();
            // An output that only one of the two makes, or that callers know by its name, keeps its node.
            if (pairs.Any(p => p.First is { IsOutput: true } || (p.First is null) != (p.Second is null)))
                continue;
            foreach (var (own, other) in pairs)
            {
                if (own is not null)
                    graph.Replace(own, other!);
            }
            graph.Remove(node);
            shared++;
        }
        return shared;
    }

    /// <summary>Equal for nodes that compute the same; null for those that are left alone.</summary>
    private static string? KeyOf(Node node, Dictionary<Value, int> numbers)
    {
        if (node.Domain.Length > 0 || node.OpType.StartsWith("Random", StringComparison.Ordinal) || node.OpType is "Bernoulli" or "Multinomial" or "Dropout" or "QuantizeLinear" or "DequantizeLinear")
            return null;
        var key = new StringBuilder(node.OpType).Append(CultureInfo.InvariantCulture, $"/{node.Outputs.Count}");
        foreach (var input in node.Inputs)
        {
            // Exporters repeat small constants: equal ones count as one.
            if (input is { IsConstant: true, Constant: { Bytes.Length: > 0 and <= LargestContent } content })
            {
                key.Append(CultureInfo.InvariantCulture, $"/{content.Type}[{string.Join(',', content.Shape)}]").Append(Convert.ToHexString(content.Bytes.Span));
                continue;
            }
            if (input is not null && !numbers.ContainsKey(input))
                numbers.Add(input, numbers.Count);
            key.Append(CultureInfo.InvariantCulture, $"/{(input is null ? -1 : numbers[input])}");
        }
        foreach (var (name, value) in node.Attributes)
        {
            key.Append(CultureInfo.InvariantCulture, $"/{name.Length}:{name}=");
            switch (value)
            {
                case AttributeValue.Int a: key.Append(CultureInfo.InvariantCulture, $"{a.Value}"); break;
                case AttributeValue.Float a: key.Append(CultureInfo.InvariantCulture, $"f{BitConverter.SingleToInt32Bits(a.Value)}"); break;
                case AttributeValue.Text a: key.Append(CultureInfo.InvariantCulture, $"t{a.Value.Length}:{a.Value}"); break;
                case AttributeValue.Ints a: key.Append('i').AppendJoin(',', a.Values); break;
                case AttributeValue.Floats a: key.Append('v').AppendJoin(',', a.Values.Select(BitConverter.SingleToInt32Bits)); break;
                default: return null;
            }
        }
        return key.ToString();
    }
}
