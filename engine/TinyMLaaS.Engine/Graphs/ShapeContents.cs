using System.Collections.Immutable;

namespace TinyMLaaS.Engine.Graphs;

/// <summary>
/// What lists of whole numbers hold where networks compute with shapes: each element a number, an extent of some value, or unknown. Elements are in row-major
/// order whatever the rank, so that operators which only change the shape of a list do nothing.
/// </summary>
internal static class ShapeContents
{
    /// <summary>Longest list that is followed.</summary>
    private const int LongestList = 64;

    /// <summary>The elements of a constant; null when it holds no whole numbers or too many.</summary>
    public static ImmutableArray<Dimension>? Of(Tensor tensor) => tensor.Shape.Length > 1 && tensor.Count != 1 ? null : tensor.Type switch
    {
        ElementType.Int64 when tensor.Count <= LongestList => [.. tensor.As<long>().ToArray().Select(v => (Dimension)v)],
        ElementType.Int32 when tensor.Count <= LongestList => [.. tensor.As<int>().ToArray().Select(v => (Dimension)(long)v)],
        _ => null,
    };

    /// <summary>The elements of a node's one output; null when they are not known.</summary>
    public static ImmutableArray<Dimension>? Infer(Node node, ShapeInference types)
    {
        if (node.Domain.Length > 0)
            return null;
        try
        {
            return node.OpType switch
            {
                "Shape" => types.Input(node, 0).Shape is { } shape && OperatorShapes.ShapeRange(node, shape.Length) is var (start, count) ? shape.Slice(start, count) : null,
                "Size" => types.Input(node, 0).Shape is { } shape ? [Product(shape)] : null,
                "Identity" or "Squeeze" or "Unsqueeze" or "Reshape" => types.Contents(node.Input(0)),
                "Cast" when (ElementType)node.Int("to", 0) is ElementType.Int64 or ElementType.Int32 => types.Contents(node.Input(0)),
                "Concat" => Concat(node, types),
                "Gather" => Gather(node, types),
                "Slice" => Slice(node, types),
                "Add" or "Sub" or "Mul" or "Div" => Arithmetic(node, types),
                "ReduceProd" when types.Input(node, 0).Rank == 1 && types.Contents(node.Input(0)) is { } factors => [Product(factors)],
                _ => null,
            };
        }
        catch (Exception e) when (e is OverflowException or ArgumentException or IndexOutOfRangeException)
        {
            return null;
        }
    }

    private static ImmutableArray<Dimension>? Concat(Node node, ShapeInference types)
    {
        var all = ImmutableArray.CreateBuilder<Dimension>();
        for (var i = 0; i < node.Inputs.Count; i++)
        {
            if (types.Input(node, i).Rank != 1 || types.Contents(node.Input(i)) is not { } part || all.Count + part.Length > LongestList)
                return null;
            all.AddRange(part);
        }
        return all.DrainToImmutable();
    }

    private static ImmutableArray<Dimension>? Gather(Node node, ShapeInference types) =>
        types.Input(node, 0).Rank == 1 && types.Contents(node.Input(0)) is { } list && node.Input(1) is { IsConstant: true, Constant.Shape.Length: <= 1 } && OperatorShapes.List(node, 1) is { } indices
            ? [.. indices.Select(i => list[(int)OperatorShapes.Axis(i, list.Length)])]
            : null;

    private static ImmutableArray<Dimension>? Slice(Node node, ShapeInference types)
    {
        if (types.Input(node, 0).Rank != 1 || types.Contents(node.Input(0)) is not { } list || OperatorShapes.List(node, 1) is not [var start] || OperatorShapes.List(node, 2) is not [var end])
            return null;
        var steps = node.Input(4) is null ? [1] : OperatorShapes.List(node, 4);
        if (steps is not [var step] || (node.Input(3) is not null && OperatorShapes.List(node, 3) is not [0 or -1]))
            return null;
        var (first, count) = OperatorShapes.Sliced(start, end, step, list.Length);
        return [.. Enumerable.Range(0, (int)count).Select(i => list[(int)(first + (i * step))])];
    }

    private static ImmutableArray<Dimension>? Arithmetic(Node node, ShapeInference types)
    {
        // The element type decides where a product overflows and what a quotient is: whole numbers of 64 bits only.
        if (node.Inputs.Count != 2 || types.Input(node, 0) is not { Element: ElementType.Int64, Rank: <= 1 } || types.Input(node, 1) is not { Element: ElementType.Int64, Rank: <= 1 })
            return null;
        if (types.Contents(node.Input(0)) is not { } left || types.Contents(node.Input(1)) is not { } right || (left.Length != right.Length && left.Length != 1 && right.Length != 1))
            return null;
        return [.. Enumerable.Range(0, left.Length == 1 ? right.Length : left.Length).Select(i => Combine(node.OpType, left[left.Length == 1 ? 0 : i], right[right.Length == 1 ? 0 : i]))];
    }

    private static Dimension Combine(string op, Dimension a, Dimension b) => (op, a.Value, b.Value) switch
    {
        ("Add", { } x, { } y) => checked(x + y),
        ("Sub", { } x, { } y) => checked(x - y),
        ("Mul", { } x, { } y) => checked(x * y),
        ("Div", { } x, { } y) when y != 0 => x / y,
        ("Add" or "Sub", _, 0) or ("Mul" or "Div", _, 1) => a,
        ("Add", 0, _) or ("Mul", 1, _) => b,
        _ => Dimension.Unknown,
    };

    private static Dimension Product(ImmutableArray<Dimension> factors) => factors.Aggregate((Dimension)1, (a, b) => Combine("Mul", a, b));
}
