using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Reshape(Transpose(x, p), e) that only splits axes is Transpose(Reshape(x, e'), q): each axis of x takes the extents it is split into along.
// Gather(Transpose(v, q), i, axis = a) with one index i is Gather(v, i, axis = q[a]) where the axes that remain are in order. Channels shuffled and then split, as
// ShuffleNet (Ma et al. 2018) does, are so written.

/// <summary>Takes the Transpose away before a Reshape whose readers each take one index of an axis out.</summary>
internal sealed class ShuffleIntoGathers : Rule
{
    public override string Name => "shuffle-into-gathers";

    public override Candidate? Match(Node node, ShapeInference types) =>
        node.Is("Reshape") && node.Input(0)?.Producer is { } transpose && transpose.Graph == node.Graph && transpose.Is("Transpose") && transpose.Input(0) is not null
        && node.Output.Uses.Count > 0 && node.Output.Uses.All(u => u.Index == 0 && u.Node.Is("Gather") && u.Node.Graph == node.Graph)
            ? new Found(node, transpose, types.Input(node, 0).StaticShape, types.Output(node).StaticShape)
            : null;

    private sealed record Found(Node Reshape, Node Transpose, long[]? From, long[]? To) : Candidate(Reshape, Transpose)
    {
        private long[] _shape = [];
        private int[] _places = [];

        public override Blocked? Check()
        {
            if ((Reasons.Unexpected(Reshape, 2, "allowzero") ?? Reasons.Unexpected(Transpose, 1, "perm") ?? Reasons.ReadElsewhere(Transpose, Reshape)) is { } blocked)
                return blocked;
            if (Reshape.Output.IsOutput)
                return new Blocked($"'{Reshape.Output.Name}' is a graph output");
            if (From is null || To is null || Transpose.Ints("perm") is not { } order || order.Length != From.Length || !order.Order().Select((axis, i) => axis == i).All(same => same))
                return new Blocked($"the shape of '{Transpose.Output.Name}' or that of '{Reshape.Output.Name}' is not known");
            if (Split(From, To) is not { } parts)
                return new Blocked($"'{Reshape.Label}' does more than splitting axes");
            // Axis k of x is axis i of its Transpose where order[i] = k.
            var axes = Enumerable.Range(0, order.Length).SelectMany(k => parts[order.IndexOf(k)]).ToArray();
            _shape = [.. axes.Select(j => To[j])];
            _places = [.. Enumerable.Range(0, To.Length).Select(j => Array.IndexOf(axes, j))];
            foreach (var gather in Reshape.Output.Uses.Select(u => u.Node))
            {
                if (Reasons.Unexpected(gather, 2, "axis") is { } odd)
                    return odd;
                if (gather.Input(1) is not { IsConstant: true, Constant: { Shape.Length: 0 } })
                    return new Blocked($"'{gather.Label}' takes more than one constant index");
                var axis = OperatorShapes.Axis(gather.Int("axis", 0), To.Length);
                var rest = _places.Where((_, j) => j != axis).ToArray();
                if (rest.Zip(rest.Skip(1)).Any(pair => pair.First > pair.Second))
                    return new Blocked($"what '{gather.Label}' leaves would still be out of order");
            }
            return null;
        }

        public override Node Rewrite()
        {
            var graph = Reshape.Graph!;
            var split = graph.AddNode("Reshape", [Transpose.Input(0), graph.AddConstant($"{Reshape.Output.Name}_shape", Tensor.Vector<long>(_shape))], $"{Reshape.Output.Name}_split", Reshape);
            foreach (var use in Reshape.Output.Uses.ToArray())
            {
                var axis = OperatorShapes.Axis(use.Node.Int("axis", 0), _places.Length);
                use.Node.SetInput(0, split);
                use.Node.Set("axis", new AttributeValue.Int(_places[axis]));
            }
            split.Producer!.Name = Reshape.Name;
            Merging.RemoveUnread(Reshape.Output);
            return split.Producer;
        }

        /// <summary>For each extent of <paramref name="from"/> the run of places in <paramref name="to"/> whose product it is; null where there is none.</summary>
        private static List<int>[]? Split(long[] from, long[] to)
        {
            var parts = new List<int>[from.Length];
            var next = 0;
            for (var i = 0; i < from.Length; i++)
            {
                parts[i] = [];
                var product = 1L;
                while (product < from[i] && next < to.Length && to[next] > 0)
                {
                    product = checked(product * to[next]);
                    parts[i].Add(next++);
                }
                if (product != from[i])
                    return null;
            }
            for (; next < to.Length; next++)
            {
                if (to[next] != 1 || parts.Length == 0)
                    return null;
                parts[^1].Add(next);
            }
            return parts;
        }
    }
}
