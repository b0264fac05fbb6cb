using System.Numerics;
using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Passes;

/// <summary>
/// Computes nodes over constants, opset 13 and later, exactly as any IEEE machine does: operators whose result depends on a mathematical library, on
/// the order of additions or on chance are not computed. Results larger than both what they replace and <see cref="FreeBytes"/> are not either,
/// so that a file does not grow by being folded.
/// </summary>
internal static class ConstantEvaluator
{
    /// <summary>A result of this size is always computed.</summary>
    private const long FreeBytes = 512;

    /// <summary>The contents of all outputs; null when the node is not one that can be computed.</summary>
    public static IReadOnlyList<Tensor>? Evaluate(Node node, ShapeInference types, WorkBudget budget)
    {
        if (node.Domain.Length > 0 || node.Outputs.Count == 0 || node.Outputs.Contains(null))
            return null;
        try
        {
            if (node.OpType == "Constant")
                return Constant(node) is { } content ? [content] : null;
            if (Extents(node, types) is { } extents)
                return [extents];
            if (node.Inputs.Count == 0 || node.Inputs.Any(i => i is { IsConstant: false }) || node.Inputs[0] is null)
                return null;
            if (node.Inputs.OfType<Value>().Any(i => i.Constant!.Type == ElementType.String || i.Constant.Type.Bits() % 8 != 0))
                return null;
            // What someone else reads too stays in the file and makes no room.
            var limit = Math.Max(FreeBytes, node.Inputs.OfType<Value>().Where(i => i is { Uses.Count: 1, IsOutput: false }).Sum(i => (long)i.Constant!.Bytes.Length));
            var work = 0L;
            for (var i = 0; i < node.Outputs.Count; i++)
            {
                // The size is known before anything is computed; where it is not, nothing is.
                var type = types[node.Outputs[i]!];
                var bits = type.Element == ElementType.Undefined ? 64 : type.Element.Bits();
                if (type.StaticShape is not { } shape || checked(Tensor.CountOf(shape) * bits) / 8 > limit)
                    return null;
                work += Tensor.CountOf(shape) * bits / 8;
            }
            // What is read counts too: a sum over a large tensor is small.
            if (!budget.TrySpend(checked(work + node.Inputs.OfType<Value>().Sum(i => (long)i.Constant!.Bytes.Length))))
                return null;
            if (node.OpType == "Split")
                return Split(node, types);
            return node.Outputs.Count == 1 && Compute(node, types) is { } result ? [result] : null;
        }
        catch (Exception e) when (e is OverflowException or ArgumentException or IndexOutOfRangeException or DivideByZeroException or InvalidOperationException)
        {
            // Attributes or types that contradict each other, or numbers that have no result: left to the runtime, which will say so.
            return null;
        }
    }

    private static Tensor? Compute(Node node, ShapeInference types)
    {
        var x = node.Inputs[0]!.Constant!;
        var shape = types[node.Output].StaticShape!;
        Tensor Input(int index) => node.Input(index)?.Constant ?? throw new ArgumentException($"input {index} is missing");
        return node.OpType switch
        {
            "Reshape" or "Flatten" or "Squeeze" or "Unsqueeze" => x.Reshape(shape),
            "Transpose" => Transpose(x, node.Ints("perm") ?? [.. Enumerable.Range(0, shape.Length).Reverse().Select(axis => (long)axis)]),
            "Concat" => Concat(node, shape),
            "Slice" => Slice(node, x, shape),
            "Gather" => Gather(node, x, Input(1), shape),
            "Expand" => Broadcast(x, shape),
            "ConstantOfShape" => Broadcast((node.TensorAttribute("value") ?? Tensor.Scalar(0f)).Reshape([]), shape),
            "Where" => Where(x, Broadcast(Input(1), shape), Broadcast(Input(2), shape), shape),
            "Cast" => Cast(x, (ElementType)node.Int("to", 0)),
            "Add" or "Sub" or "Mul" or "Div" or "Mod" or "Equal" or "Less" or "LessOrEqual" or "Greater" or "GreaterOrEqual" => Binary(node, x, Input(1), shape),
            "Min" or "Max" when node.Inputs.Count == 2 => Binary(node, x, Input(1), shape),
            "And" or "Or" or "Xor" => Logic(node.OpType, Broadcast(x, shape), Broadcast(Input(1), shape)),
            "Not" => Tensor.From<bool>(shape, Array.ConvertAll(x.As<bool>().ToArray(), v => !v)),
            "Neg" or "Abs" or "Sqrt" or "Reciprocal" or "Floor" or "Ceil" => Unary(node.OpType, x),
            "ReduceProd" or "ReduceMax" or "ReduceMin" or "ReduceSum" when x.Type == ElementType.Int64 && shape.All(e => e == 1) => Reduce(node.OpType, x, shape),
            _ => null,
        };
    }

    private static Tensor? Constant(Node node) => node.Attributes.Count != 1 ? null : node.Attributes.Values.First() switch
    {
        AttributeValue.Constant a => a.Value,
        AttributeValue.Int a => Tensor.Scalar(a.Value),
        AttributeValue.Float a => Tensor.Scalar(a.Value),
        AttributeValue.Ints a => Tensor.Vector<long>(a.Values.AsSpan()),
        AttributeValue.Floats a => Tensor.Vector<float>(a.Values.AsSpan()),
        _ => null,
    };

    /// <summary>What is computed with extents that are all known, though the shape they come from need not be.</summary>
    private static Tensor? Extents(Node node, ShapeInference types)
    {
        if (node.Outputs is not [{ } output] || types.Contents(output) is not { } contents || contents.Any(d => d.Value is null) || types[output] is not { Element: var type, StaticShape: { } shape } || Tensor.CountOf(shape) != contents.Length)
            return null;
        return type switch
        {
            ElementType.Int64 => Tensor.From<long>(shape, [.. contents.Select(d => d.Value!.Value)]),
            ElementType.Int32 => Tensor.From<int>(shape, [.. contents.Select(d => checked((int)d.Value!.Value))]),
            _ => null,
        };
    }

    private static long[] Strides(ReadOnlySpan<long> shape)
    {
        var strides = new long[shape.Length];
        var stride = 1L;
        for (var i = shape.Length - 1; i >= 0; i--)
        {
            strides[i] = stride;
            stride = checked(stride * shape[i]);
        }
        return strides;
    }

    /// <summary>The elements at <paramref name="offset"/> + sum(index * stride), in the order of the new shape.</summary>
    private static Tensor Pick(Tensor source, long[] shape, long[] strides, long offset)
    {
        var size = source.Type.Bits() / 8;
        var count = Tensor.CountOf(shape);
        var from = source.Bytes.Span;
        var to = new byte[checked(count * size)];
        var index = new long[shape.Length];
        var place = offset;
        for (var i = 0L; i < count; i++)
        {
            from.Slice(checked((int)(place * size)), size).CopyTo(to.AsSpan((int)(i * size)));
            for (var axis = shape.Length - 1; axis >= 0; axis--)
            {
                place += strides[axis];
                if (++index[axis] < shape[axis])
                    break;
                place -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }
        return Tensor.FromBytes(source.Type, shape, to);
    }

    private static Tensor Broadcast(Tensor source, long[] shape)
    {
        if (source.Shape.AsSpan().SequenceEqual(shape))
            return source;
        var own = Strides(source.Shape.AsSpan());
        var skip = shape.Length - source.Shape.Length;
        return Pick(source, shape, [.. shape.Select((_, i) => i < skip || source.Shape[i - skip] == 1 ? 0 : own[i - skip])], 0);
    }

    /// <summary>The tensor with axis order[i] as its axis i. The element type has whole bytes.</summary>
    public static Tensor Transpose(Tensor x, IReadOnlyList<long> order)
    {
        var own = Strides(x.Shape.AsSpan());
        return Pick(x, [.. order.Select(p => x.Shape[(int)p])], [.. order.Select(p => own[p])], 0);
    }

    private static Tensor? Slice(Node node, Tensor x, long[] shape)
    {
        if (OperatorShapes.List(node, 1) is not { } starts || OperatorShapes.List(node, 2) is not { } ends)
            return null;
        var axes = OperatorShapes.List(node, 3) ?? [.. Enumerable.Range(0, starts.Length).Select(i => (long)i)];
        var steps = OperatorShapes.List(node, 4);
        var strides = Strides(x.Shape.AsSpan());
        var offset = 0L;
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = OperatorShapes.Axis(axes[i], x.Shape.Length);
            var step = steps?[i] ?? 1;
            offset += strides[axis] * OperatorShapes.Sliced(starts[i], ends[i], step, x.Shape[(int)axis]).First;
            // A far step takes one element only, and then its length is of no account.
            strides[axis] = shape[axis] <= 1 ? 0 : checked(strides[axis] * step);
        }
        return Pick(x, shape, strides, offset);
    }

    private static Tensor[]? Split(Node node, ShapeInference types)
    {
        var x = node.Inputs[0]!.Constant!;
        var axis = OperatorShapes.Axis(node.Int("axis", 0), x.Shape.Length);
        var strides = Strides(x.Shape.AsSpan());
        var parts = new Tensor[node.Outputs.Count];
        var start = 0L;
        for (var i = 0; i < parts.Length; i++)
        {
            var shape = types[node.Outputs[i]!].StaticShape!;
            parts[i] = Pick(x, shape, strides, start * strides[axis]);
            start += shape[axis];
        }
        return start == x.Shape[(int)axis] ? parts : null;
    }

    private static Tensor? Gather(Node node, Tensor x, Tensor indices, long[] shape)
    {
        var axis = (int)OperatorShapes.Axis(node.Int("axis", 0), x.Shape.Length);
        long[] places = indices.Type switch
        {
            ElementType.Int64 => indices.As<long>().ToArray(),
            ElementType.Int32 => [.. indices.As<int>().ToArray().Select(v => (long)v)],
            _ => throw new ArgumentException("indices are whole numbers"),
        };
        var inner = Tensor.CountOf(x.Shape.AsSpan()[(axis + 1)..]) * (x.Type.Bits() / 8);
        var outer = Tensor.CountOf(x.Shape.AsSpan()[..axis]);
        var to = new byte[checked(outer * places.Length * inner)];
        for (var o = 0L; o < outer; o++)
        {
            for (var i = 0; i < places.Length; i++)
            {
                var from = ((o * x.Shape[axis]) + OperatorShapes.Axis(places[i], checked((int)x.Shape[axis]))) * inner;
                x.Bytes.Span.Slice((int)from, (int)inner).CopyTo(to.AsSpan((int)(((o * places.Length) + i) * inner)));
            }
        }
        return Tensor.FromBytes(x.Type, shape, to);
    }

    private static Tensor? Concat(Node node, long[] shape)
    {
        var parts = node.Inputs.Select(i => i?.Constant ?? throw new ArgumentException("a part is missing")).ToArray();
        if (parts.Any(p => p.Type != parts[0].Type))
            return null;
        var axis = (int)OperatorShapes.Axis(node.Int("axis", 0), shape.Length);
        var outer = Tensor.CountOf(shape.AsSpan()[..axis]);
        var to = new byte[parts.Sum(p => p.Bytes.Length)];
        var place = 0;
        for (var o = 0L; o < outer; o++)
        {
            foreach (var part in parts)
            {
                var length = (int)(part.Bytes.Length / outer);
                part.Bytes.Span.Slice((int)(o * length), length).CopyTo(to.AsSpan(place));
                place += length;
            }
        }
        return Tensor.FromBytes(parts[0].Type, shape, to);
    }

    private static Tensor? Where(Tensor condition, Tensor yes, Tensor no, long[] shape)
    {
        if (yes.Type != no.Type)
            return null;
        var flags = Broadcast(condition, shape).As<bool>();
        var size = yes.Type.Bits() / 8;
        var to = new byte[yes.Bytes.Length];
        for (var i = 0; i < flags.Length; i++)
            (flags[i] ? yes : no).Bytes.Span.Slice(i * size, size).CopyTo(to.AsSpan(i * size));
        return Tensor.FromBytes(yes.Type, shape, to);
    }

    private static Tensor Logic(string op, Tensor a, Tensor b)
    {
        var left = a.As<bool>();
        var right = b.As<bool>();
        var result = new bool[left.Length];
        for (var i = 0; i < result.Length; i++)
            result[i] = op switch { "And" => left[i] && right[i], "Or" => left[i] || right[i], _ => left[i] != right[i] };
        return Tensor.From<bool>(a.Shape.AsSpan(), result);
    }

    private static Tensor? Binary(Node node, Tensor a, Tensor b, long[] shape) => a.Type != b.Type ? null : a.Type switch
    {
        ElementType.Float => Binary<float>(node, a, b, shape),
        ElementType.Double => Binary<double>(node, a, b, shape),
        ElementType.Int64 => Binary<long>(node, a, b, shape),
        ElementType.Int32 => Binary<int>(node, a, b, shape),
        _ => null,
    };

    private static Tensor? Binary<T>(Node node, Tensor a, Tensor b, long[] shape) where T : unmanaged, INumber<T>
    {
        var left = Broadcast(a, shape).As<T>();
        var right = Broadcast(b, shape).As<T>();
        if (node.OpType is "Equal" or "Less" or "LessOrEqual" or "Greater" or "GreaterOrEqual")
        {
            var flags = new bool[left.Length];
            for (var i = 0; i < flags.Length; i++)
            {
                flags[i] = node.OpType switch
                {
                    "Equal" => left[i] == right[i],
                    "Less" => left[i] < right[i],
                    "LessOrEqual" => left[i] <= right[i],
                    "Greater" => left[i] > right[i],
                    _ => left[i] >= right[i],
                };
            }
            return Tensor.From<bool>(shape, flags);
        }
        var isWhole = typeof(T) == typeof(long) || typeof(T) == typeof(int);
        if (node.OpType == "Mod" && (!isWhole || node.Int("fmod", 0) != 0))
            return null;
        var result = new T[left.Length];
        for (var i = 0; i < result.Length; i++)
        {
            result[i] = node.OpType switch
            {
                "Add" => unchecked(left[i] + right[i]),
                "Sub" => unchecked(left[i] - right[i]),
                "Mul" => unchecked(left[i] * right[i]),
                "Div" => left[i] / right[i],
                "Mod" => Modulo(left[i], right[i]),
                "Min" => T.Min(left[i], right[i]),
                _ => T.Max(left[i], right[i]),
            };
        }
        return Tensor.From<T>(shape, result);
    }

    /// <summary>The remainder with the sign of the divisor.</summary>
    private static T Modulo<T>(T a, T b) where T : INumber<T>
    {
        var rest = a % b;
        return rest != T.Zero && T.IsNegative(rest) != T.IsNegative(b) ? rest + b : rest;
    }

    private static Tensor? Unary(string op, Tensor x) => x.Type switch
    {
        ElementType.Float => Tensor.From<float>(x.Shape.AsSpan(), Array.ConvertAll(x.As<float>().ToArray(), v => op switch
        {
            "Neg" => -v,
            "Abs" => MathF.Abs(v),
            "Sqrt" => MathF.Sqrt(v),
            "Reciprocal" => 1 / v,
            "Floor" => MathF.Floor(v),
            _ => MathF.Ceiling(v),
        })),
        ElementType.Int64 when op is "Neg" or "Abs" => Tensor.From<long>(x.Shape.AsSpan(), Array.ConvertAll(x.As<long>().ToArray(), v => op == "Neg" ? checked(-v) : Math.Abs(v))),
        _ => null,
    };

    private static Tensor Reduce(string op, Tensor x, long[] shape)
    {
        var values = x.As<long>().ToArray();
        return Tensor.From<long>(shape, [op switch
        {
            "ReduceProd" => values.Aggregate(1L, (a, b) => checked(a * b)),
            "ReduceSum" => values.Sum(),
            "ReduceMax" => values.Max(),
            _ => values.Min(),
        }]);
    }

    private static Tensor? Cast(Tensor x, ElementType to)
    {
        if (x.Type == to)
            return x;
        return x.Type switch
        {
            ElementType.Float => Cast(x, Array.ConvertAll(x.As<float>().ToArray(), v => (double)v), to),
            ElementType.Double => Cast(x, x.As<double>().ToArray(), to),
            ElementType.Int32 => Whole(x, Array.ConvertAll(x.As<int>().ToArray(), v => (long)v), to),
            ElementType.Int64 => Whole(x, x.As<long>().ToArray(), to),
            ElementType.Bool => Whole(x, Array.ConvertAll(x.As<bool>().ToArray(), v => v ? 1L : 0), to),
            _ => null,
        };
    }

    private static Tensor? Cast(Tensor x, double[] values, ElementType to) => to switch
    {
        ElementType.Float => Tensor.From<float>(x.Shape.AsSpan(), Array.ConvertAll(values, v => (float)v)),
        ElementType.Double => Tensor.From<double>(x.Shape.AsSpan(), values),
        // Checked: what a runtime makes of a number that does not fit is its own affair.
        ElementType.Int32 => Tensor.From<int>(x.Shape.AsSpan(), Array.ConvertAll(values, v => checked((int)v))),
        ElementType.Int64 => Tensor.From<long>(x.Shape.AsSpan(), Array.ConvertAll(values, v => checked((long)v))),
        ElementType.Bool => Tensor.From<bool>(x.Shape.AsSpan(), Array.ConvertAll(values, v => v != 0)),
        _ => null,
    };

    private static Tensor? Whole(Tensor x, long[] values, ElementType to) => to switch
    {
        ElementType.Float => Tensor.From<float>(x.Shape.AsSpan(), Array.ConvertAll(values, v => (float)v)),
        ElementType.Double => Tensor.From<double>(x.Shape.AsSpan(), Array.ConvertAll(values, v => (double)v)),
        ElementType.Int32 => Tensor.From<int>(x.Shape.AsSpan(), Array.ConvertAll(values, v => checked((int)v))),
        ElementType.Int64 => Tensor.From<long>(x.Shape.AsSpan(), values),
        ElementType.Bool => Tensor.From<bool>(x.Shape.AsSpan(), Array.ConvertAll(values, v => v != 0)),
        _ => null,
    };
}
