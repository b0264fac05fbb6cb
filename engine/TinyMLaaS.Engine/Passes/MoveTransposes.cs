using System.Collections.Immutable;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Rewriting;

namespace TinyMLaaS.Engine.Passes;

// With P(x) = Transpose(x, p), that is axis i of P(x) is axis p[i] of x:
//   f(P(x)) = P(f(x))                      element by element
//   f(P(x), P(y)) = P(f(x, y))             element by element, of the same rank; a constant c stands for P(P'(c))
//   g(P(x), axis = a) = P(g(x, axis = p[a])) for Concat, Split, Softmax, Slice, Pad, Resize and reductions that keep their axes
//   reduce(P(x), A) = reduce(x, p[A])      without its axes, where those that remain are in order
// Exports of networks with channels last leave Transposes around such operators; moved to the end of them they meet their inverse, or are fewer.

/// <summary>
/// Moves Transposes behind the operators that work in any order of axes, all that are connected at once, where fewer Transposes remain, or as many and
/// the operator behind a Conv or matrix product comes next to it.
/// </summary>
internal sealed class MoveTransposes : Pass
{
    private const string Rule = "move-transposes";

    public override string Name => Rule;

    public override PassResult Apply(Model model, PassContext context)
    {
        var applied = new List<Applied>();
        Walk(model.Graph, ShapeInference.Exact(model), context, applied);
        return new PassResult { IsModified = applied.Count > 0, Applied = applied };
    }

    private static void Walk(Graph graph, ShapeInference types, PassContext context, List<Applied> applied)
    {
        foreach (var nested in graph.Nodes.SelectMany(n => n.Subgraphs).ToList())
            Walk(nested, types, context, applied);
        // Every order of axes is a region of its own: a network has a handful, and those beyond are left.
        var orders = new List<ImmutableArray<long>>();
        foreach (var node in graph.Nodes)
        {
            if (OrderOf(node) is { } order && orders.Count < 8 && !orders.Any(o => o.SequenceEqual(order)))
                orders.Add(order);
        }
        foreach (var order in orders)
        {
            foreach (var region in Regions(graph, order, types, context))
            {
                if (!region.IsWorthIt(context))
                    continue;
                applied.AddRange(region.Nodes.Select(n => new Applied(Rule, n.Key.Label, n.Key.Label)));
                region.Move(context);
            }
        }
    }

    private static ImmutableArray<long>? OrderOf(Node node) =>
        node.Is("Transpose") && node.Inputs is [not null] && node.Attributes.Count == 1 && node.Ints("perm") is { Length: <= 16 } order && order.Order().Select((axis, i) => axis == i).All(same => same) ? order : null;

    private static bool IsOf(Node? node, ImmutableArray<long> order) => node is not null && OrderOf(node) is { } own && own.SequenceEqual(order);

    private static ImmutableArray<long> Inverse(ImmutableArray<long> order) => [.. Enumerable.Range(0, order.Length).Select(axis => (long)order.IndexOf(axis))];

    /// <summary>The largest connected sets of nodes that read nothing but Transposes of this order, each other and constants.</summary>
    private static IEnumerable<Region> Regions(Graph graph, ImmutableArray<long> order, ShapeInference types, PassContext context)
    {
        // Nodes and the Transposes they read, all of one region where they meet.
        var regions = new Dictionary<Node, Region>();
        foreach (var node in graph.Nodes)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            if (node.Domain.Length > 0 || !AxisOrder.MayMove(node) || context.IsExcluded(node))
                continue;
            var sources = new List<Node>();
            var isWhole = true;
            foreach (var input in AxisOrder.DataInputs(node).Select(node.Input))
            {
                if (input?.Producer is { } producer && producer.Graph == graph && (IsOf(producer, order) ? !context.IsExcluded(producer) : regions.TryGetValue(producer, out var before) && before.Whole.Nodes[producer].NeedsOrder))
                    sources.Add(producer);
                else
                    isWhole &= input is { IsConstant: true };
            }
            if (!isWhole || sources.Count == 0 || AxisOrder.Plan(node, order, types) is not { } plan)
                continue;
            var region = new Region(order);
            foreach (var source in sources)
            {
                region = regions.TryGetValue(source, out var known) ? region.Join(known.Whole) : region;
                if (IsOf(source, order))
                    region.Sources.Add(source);
                regions[source] = region;
            }
            region.Nodes.Add(node, plan);
            regions[node] = region;
        }
        return regions.Values.Select(r => r.Whole).Distinct();
    }

    private sealed class Region(ImmutableArray<long> order)
    {
        private Region? _into;

        public Dictionary<Node, AxisOrder> Nodes { get; private set; } = [];

        public HashSet<Node> Sources { get; private set; } = [];

        /// <summary>The region that this one became part of, or itself.</summary>
        public Region Whole
        {
            get
            {
                var whole = this;
                while (whole._into is { } next)
                    whole = next;
                for (var part = this; part._into is { } next; part = next)
                    part._into = whole;
                return whole;
            }
        }

        /// <summary>Both as one; the smaller goes over into the larger.</summary>
        public Region Join(Region other)
        {
            if (ReferenceEquals(this, other))
                return this;
            var (into, from) = Nodes.Count + Sources.Count >= other.Nodes.Count + other.Sources.Count ? (this, other) : (other, this);
            foreach (var (node, plan) in from.Nodes)
                into.Nodes.Add(node, plan);
            into.Sources.UnionWith(from.Sources);
            (from._into, from.Nodes, from.Sources) = (into, [], []);
            return into;
        }

        /// <summary>Counts the Transposes that go against those that come. False where a region moved before has changed what this one starts from.</summary>
        public bool IsWorthIt(PassContext context)
        {
            if (Sources.Any(s => s.Graph is null || !IsOf(s, order) || (s.Input(0)!.Producer is { } before && Nodes.ContainsKey(before))))
                return false;
            var inverse = Inverse(order);
            var gain = Sources.Count(s => !s.Output.IsOutput && s.Output.Uses.All(u => Nodes.ContainsKey(u.Node)));
            foreach (var output in Nodes.Values.Where(n => n.NeedsOrder).SelectMany(n => n.Node.Outputs).OfType<Value>())
            {
                var outside = output.Uses.Select(u => u.Node).Where(n => !Nodes.ContainsKey(n)).Distinct().ToList();
                gain += outside.Count(n => IsOf(n, inverse) && MayChange(n, context) && !n.Output.IsOutput);
                if (output.IsOutput || !outside.All(n => MayChange(n, context)))
                    gain--;
            }
            return gain > 0 || (gain == 0 && Sources.Any(s => s.Input(0)!.Producer is { Domain.Length: 0, OpType: "Conv" or "ConvTranspose" or "Gemm" or "MatMul" or "BatchNormalization" }));
        }

        public void Move(PassContext context)
        {
            foreach (var source in Sources)
            {
                foreach (var use in source.Output.Uses.Where(u => Nodes.ContainsKey(u.Node)).ToArray())
                    use.Node.SetInput(use.Index, source.Input(0));
            }
            foreach (var (node, plan) in Nodes)
            {
                plan.Change();
                node.Provenance = node.Provenance.Add(Rule);
                if (!plan.NeedsOrder)
                    continue;
                foreach (var output in node.Outputs.OfType<Value>())
                    Restore(output, context);
            }
            foreach (var source in Sources)
                Merging.RemoveUnread(source.Output);
        }

        private static bool MayChange(Node reader, PassContext context) => OrderOf(reader) is not null && !context.IsExcluded(reader);

        /// <summary>Gives the readers outside of the region what they read before.</summary>
        private void Restore(Value output, PassContext context)
        {
            if (output.Shape is { } shape && shape.Length == order.Length)
                output.Shape = [.. Inverse(order).Select(axis => shape[(int)axis])];
            var inside = output.Uses.Where(u => Nodes.ContainsKey(u.Node)).ToList();
            var outside = new List<Use>();
            foreach (var use in output.Uses.Where(u => !Nodes.ContainsKey(u.Node)))
            {
                if (!MayChange(use.Node, context))
                {
                    outside.Add(use);
                    continue;
                }
                use.Node.Set("perm", new AttributeValue.Ints([.. OrderOf(use.Node)!.Value.Select(axis => order[(int)axis])]));
                inside.Add(use);
            }
            if (outside.Count == 0 && !output.IsOutput)
                return;
            var graph = output.Graph;
            var transposed = graph.AddNode("Transpose", [output], $"{output.Name}_transposed", output.Producer!.Next);
            transposed.Producer!.Set("perm", new AttributeValue.Ints(order));
            transposed.Producer.Provenance = [Rule];
            transposed.Type = output.Type;
            if (!output.IsOutput)
            {
                outside.ForEach(u => u.Node.SetInput(u.Index, transposed));
                return;
            }
            transposed.Shape = output.Shape is { } moved && moved.Length == order.Length ? [.. order.Select(axis => moved[(int)axis])] : null;
            graph.Replace(output, transposed);
            inside.ForEach(u => u.Node.SetInput(u.Index, output));
            transposed.Producer.SetInput(0, output);
        }
    }
}
