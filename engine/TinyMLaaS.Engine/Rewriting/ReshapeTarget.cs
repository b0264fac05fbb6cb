using System.Collections.Immutable;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

/// <summary>The constant that makes a Reshape give a shape whose extents may depend on what a caller passes.</summary>
internal static class ReshapeTarget
{
    /// <summary>
    /// Numbers as they are, 0 for an extent that the data has at the same place, -1 for at most one other; null where that is not enough. An extent of 0 by number has
    /// no such form, since 0 stands for the data's own.
    /// </summary>
    public static long[]? Of(ImmutableArray<Dimension> wanted, ImmutableArray<Dimension>? data)
    {
        var target = new long[wanted.Length];
        var isOpen = false;
        for (var i = 0; i < target.Length; i++)
        {
            if (wanted[i].Value is { } extent)
            {
                if (extent <= 0)
                    return null;
                target[i] = extent;
            }
            else if (wanted[i].Symbol is not null && data is { } own && i < own.Length && own[i] == wanted[i])
            {
                target[i] = 0;
            }
            else if (isOpen)
            {
                return null;
            }
            else
            {
                isOpen = true;
                target[i] = -1;
            }
        }
        return target;
    }

    /// <summary>True when two shapes are the same for certain.</summary>
    public static bool AreSame(ImmutableArray<Dimension>? a, ImmutableArray<Dimension>? b) =>
        a is { } left && b is { } right && left.SequenceEqual(right) && !left.Contains(Dimension.Unknown);

    /// <summary>Puts a Reshape of <paramref name="data"/> to a constant shape in the place of a node.</summary>
    public static Node Put(Node node, Value data, long[] target)
    {
        var graph = node.Graph!;
        return graph.Substitute(node, "Reshape", [data, graph.AddConstant($"{node.Output.Name}_shape", Tensor.Vector<long>(target))]);
    }
}
