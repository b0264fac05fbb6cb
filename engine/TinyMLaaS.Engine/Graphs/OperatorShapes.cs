using System.Collections.Immutable;

namespace TinyMLaaS.Engine.Graphs;

/// <summary>Shape rules of operators, opset 7 and later. An output that a rule leaves alone is unknown.</summary>
internal static class OperatorShapes
{
    /// <summary>Longest constant that is read as a shape, a list of axes or the like.</summary>
    private const int LongestList = 64;

    /// <exception cref="OverflowException">Extents leave 64 bits.</exception>
    /// <exception cref="ArgumentException">Attributes and inputs contradict each other.</exception>
    /// <exception cref="IndexOutOfRangeException">Attributes and inputs contradict each other.</exception>
    public static void Infer(Node node, ShapeInference types, Span<TensorType> outputs)
    {
        if (outputs.Length == 0)
            return;
        var x = types.Input(node, 0);
        if (node.Domain == "com.microsoft")
        {
            outputs[0] = node.OpType switch
            {
                "QLinearSigmoid" or "QLinearLeakyRelu" or "QLinearSoftmax" => x,
                "QLinearAdd" or "QLinearMul" => x with { Shape = Broadcast(x.Shape, types.Input(node, 3).Shape) },
                "QLinearGlobalAveragePool" when node.Int("channels_last", 0) == 0 => x with { Shape = GlobalPool(x.Shape) },
                _ => default,
            };
            return;
        }
        if (node.Domain.Length > 0)
            return;
        switch (node.OpType)
        {
            case "Identity" or "Relu" or "LeakyRelu" or "PRelu" or "Elu" or "Selu" or "Celu" or "Sigmoid" or "HardSigmoid" or "HardSwish" or "Tanh" or "Softplus" or "Softsign"
                or "Gelu" or "Mish" or "Softmax" or "LogSoftmax" or "Hardmax" or "Clip" or "Exp" or "Log" or "Sqrt" or "Abs" or "Neg" or "Reciprocal" or "Floor" or "Ceil" or "Round" or "Erf"
                or "Sin" or "Cos" or "Sign" or "Not" or "InstanceNormalization" or "LRN" or "LpNormalization" or "CumSum" or "ThresholdedRelu" or "BitwiseNot" or "Swish":
                outputs[0] = x;
                break;
            case "BatchNormalization" or "LayerNormalization" or "GroupNormalization":
                outputs[0] = x;
                break;
            case "Dropout":
                outputs[0] = x;
                if (outputs.Length > 1)
                    outputs[1] = new TensorType(ElementType.Bool, x.Shape);
                break;
            case "Add" or "Sub" or "Mul" or "Div" or "Pow" or "Mod" or "BitShift" or "BitwiseAnd" or "BitwiseOr" or "BitwiseXor":
                outputs[0] = x with { Shape = Broadcast(x.Shape, types.Input(node, 1).Shape) };
                break;
            case "Min" or "Max" or "Sum" or "Mean":
                outputs[0] = x with { Shape = Broadcast(node, types, 0) };
                break;
            case "Equal" or "Less" or "LessOrEqual" or "Greater" or "GreaterOrEqual" or "And" or "Or" or "Xor":
                outputs[0] = new TensorType(ElementType.Bool, Broadcast(node, types, 0));
                break;
            case "IsNaN" or "IsInf":
                outputs[0] = new TensorType(ElementType.Bool, x.Shape);
                break;
            case "Where":
                outputs[0] = new TensorType(types.Input(node, 1).Element, Broadcast(node, types, 0));
                break;
            case "Cast":
                outputs[0] = new TensorType((ElementType)node.Int("to", 0), x.Shape);
                break;
            case "QuantizeLinear":
                outputs[0] = new TensorType(node.Input(2) is not null ? types.Input(node, 2).Element : (ElementType)node.Int("output_dtype", (long)ElementType.UInt8), x.Shape);
                break;
            case "DequantizeLinear":
                outputs[0] = new TensorType(types.Input(node, 1).Element, x.Shape);
                break;
            case "DynamicQuantizeLinear":
                outputs[0] = new TensorType(ElementType.UInt8, x.Shape);
                for (var i = 1; i < outputs.Length; i++)
                    outputs[i] = new TensorType(i == 1 ? ElementType.Float : ElementType.UInt8, []);
                break;
            case "Conv":
                outputs[0] = x with { Shape = Conv(node, x.Shape, types.Input(node, 1).Shape) };
                break;
            case "ConvInteger":
                outputs[0] = new TensorType(ElementType.Int32, Conv(node, x.Shape, types.Input(node, 1).Shape));
                break;
            case "QLinearConv":
                outputs[0] = new TensorType(types.Input(node, 7).Element, Conv(node, x.Shape, types.Input(node, 3).Shape));
                break;
            case "ConvTranspose":
                outputs[0] = x with { Shape = ConvTranspose(node, x.Shape, types.Input(node, 1).Shape) };
                break;
            case "MaxPool" or "AveragePool" or "LpPool":
                outputs[0] = x with { Shape = Pool(node, x.Shape) };
                if (outputs.Length > 1)
                    outputs[1] = new TensorType(ElementType.Int64, outputs[0].Shape);
                break;
            case "GlobalAveragePool" or "GlobalMaxPool" or "GlobalLpPool":
                outputs[0] = x with { Shape = GlobalPool(x.Shape) };
                break;
            case "Gemm":
                outputs[0] = x with { Shape = Gemm(node, x.Shape, types.Input(node, 1).Shape) };
                break;
            case "MatMul":
                outputs[0] = x with { Shape = MatMul(x.Shape, types.Input(node, 1).Shape) };
                break;
            case "MatMulInteger":
                outputs[0] = new TensorType(ElementType.Int32, MatMul(x.Shape, types.Input(node, 1).Shape));
                break;
            case "QLinearMatMul":
                outputs[0] = new TensorType(types.Input(node, 7).Element, MatMul(x.Shape, types.Input(node, 3).Shape));
                break;
            case "Reshape":
                outputs[0] = x with { Shape = Reshape(node, x.Shape, types) };
                break;
            case "Flatten":
                outputs[0] = x with { Shape = Flatten(node, x.Shape) };
                break;
            case "Transpose":
                outputs[0] = x with { Shape = Transpose(node, x.Shape) };
                break;
            case "Concat":
                outputs[0] = x with { Shape = Concat(node, types) };
                break;
            case "Squeeze":
                outputs[0] = x with { Shape = Squeeze(node, x.Shape) };
                break;
            case "Unsqueeze":
                outputs[0] = x with { Shape = Unsqueeze(node, x.Shape) };
                break;
            case "Shape":
                outputs[0] = new TensorType(ElementType.Int64, x.Shape is { } shape ? [(Dimension)ShapeRange(node, shape.Length).Count] : [Dimension.Unknown]);
                break;
            case "Size":
                outputs[0] = new TensorType(ElementType.Int64, []);
                break;
            case "Constant":
                outputs[0] = Constant(node);
                break;
            case "ConstantOfShape":
                outputs[0] = new TensorType(node.TensorAttribute("value")?.Type ?? ElementType.Float, List(node, 0) is { } extents ? [.. extents.Select(e => (Dimension)e)] : UnknownOfLength(x));
                break;
            case "Gather":
                outputs[0] = x with { Shape = Gather(node, x.Shape, types.Input(node, 1).Shape) };
                break;
            case "Slice":
                outputs[0] = x with { Shape = Slice(node, x.Shape) };
                break;
            case "Pad":
                outputs[0] = x with { Shape = Pad(node, x.Shape) };
                break;
            case "Split":
                Split(node, x, outputs);
                break;
            case "Expand":
                outputs[0] = x with { Shape = List(node, 1) is { } target ? Broadcast(x.Shape, [.. target.Select(e => (Dimension)e)]) : null };
                break;
            case "Tile":
                outputs[0] = x with { Shape = x.Shape is { } tiled && List(node, 1) is { } repeats && repeats.Length == tiled.Length ? [.. tiled.Zip(repeats, (d, r) => Map(d, e => checked(e * r)))] : null };
                break;
            case "ReduceMean" or "ReduceSum" or "ReduceMax" or "ReduceMin" or "ReduceProd" or "ReduceL1" or "ReduceL2" or "ReduceLogSum" or "ReduceLogSumExp" or "ReduceSumSquare":
                outputs[0] = x with { Shape = Reduce(node, x.Shape) };
                break;
            case "ArgMax" or "ArgMin":
                outputs[0] = new TensorType(ElementType.Int64, x.Shape is { } arg ? Drop(arg, [node.Int("axis", 0)], node.Int("keepdims", 1) != 0) : null);
                break;
            case "Resize":
                outputs[0] = x with { Shape = Resize(node, x.Shape) };
                break;
            case "DepthToSpace" or "SpaceToDepth":
                outputs[0] = x with { Shape = Blocks(node, x.Shape) };
                break;
            default:
                break;
        }
    }

    /// <summary>A constant input, or an attribute of older opsets, as a list of numbers; null when it is not constant or absent.</summary>
    public static long[]? List(Node node, int input, string? attribute = null)
    {
        if (attribute is not null && node.Ints(attribute) is { } values)
            return [.. values];
        return node.Input(input) is { IsConstant: true, Constant: { Count: <= LongestList } tensor } ? Numbers(tensor) : null;
    }

    /// <summary>The axes attribute or input, made non-negative; empty when there is none, null when it is not constant.</summary>
    public static long[]? Axes(Node node, int input, int rank)
    {
        var axes = List(node, input, "axes");
        if (axes is null)
            return node.Input(input) is null ? [] : null;
        return [.. axes.Select(a => Axis(a, rank))];
    }

    /// <summary>An axis made non-negative.</summary>
    /// <exception cref="ArgumentException">There is no such axis.</exception>
    public static long Axis(long axis, int rank)
    {
        var result = axis < 0 ? axis + rank : axis;
        return result >= 0 && result < rank ? result : throw new ArgumentException($"axis {axis} of rank {rank}");
    }

    private static long[]? Numbers(Tensor tensor) => tensor.Type switch
    {
        ElementType.Int64 => tensor.As<long>().ToArray(),
        ElementType.Int32 => [.. tensor.As<int>().ToArray().Select(v => (long)v)],
        _ => null,
    };

    /// <summary>Numpy's rule: aligned at the end, 1 gives way. A number above 1 wins over a symbol, which must then be 1 or that number.</summary>
    public static ImmutableArray<Dimension>? Broadcast(ImmutableArray<Dimension>? a, ImmutableArray<Dimension>? b)
    {
        if (a is not { } left || b is not { } right)
            return null;
        var rank = Math.Max(left.Length, right.Length);
        var result = new Dimension[rank];
        for (var i = 0; i < rank; i++)
        {
            var l = i < rank - left.Length ? 1 : left[i - rank + left.Length];
            var r = i < rank - right.Length ? 1 : right[i - rank + right.Length];
            result[i] = l == r ? l
                : l.Value == 1 ? r
                : r.Value == 1 ? l
                : l.Value is not null && r.Value is null ? l
                : r.Value is not null && l.Value is null ? r
                : l.Value is not null ? throw new ArgumentException("extents that do not go together")
                : Dimension.Unknown;
        }
        return [.. result];
    }

    private static ImmutableArray<Dimension>? Broadcast(Node node, ShapeInference types, int first)
    {
        ImmutableArray<Dimension>? shape = [];
        for (var i = first; i < node.Inputs.Count; i++)
            shape = Broadcast(shape, types.Input(node, i).Shape);
        return shape;
    }

    private static ImmutableArray<Dimension>? UnknownOfLength(TensorType list) =>
        list.StaticShape is [var rank] && rank <= LongestList ? [.. Enumerable.Repeat(Dimension.Unknown, (int)rank)] : null;

    private static Dimension Map(Dimension dimension, Func<long, long> map) => dimension.Value is { } extent ? map(extent) : Dimension.Unknown;

    private static Dimension Product(IEnumerable<Dimension> dimensions)
    {
        Dimension product = 1;
        foreach (var dimension in dimensions)
        {
            product = product.Value == 1 ? dimension
                : dimension.Value == 1 ? product
                : product.Value is { } a && dimension.Value is { } b ? checked(a * b)
                : Dimension.Unknown;
        }
        return product;
    }

    private static ImmutableArray<Dimension>? Conv(Node node, ImmutableArray<Dimension>? x, ImmutableArray<Dimension>? w)
    {
        if (w is not { Length: >= 3 } weight || (x is { } known && known.Length != weight.Length))
            return null;
        var spatial = weight.Length - 2;
        var kernel = node.Ints("kernel_shape") is { } stated ? [.. stated.Select(k => (Dimension)k)] : weight[2..];
        var result = ImmutableArray.CreateBuilder<Dimension>();
        result.Add(x?[0] ?? Dimension.Unknown);
        result.Add(weight[0]);
        for (var i = 0; i < spatial; i++)
            result.Add(Window(node, x?[i + 2] ?? Dimension.Unknown, kernel[i], i, spatial));
        return result.DrainToImmutable();
    }

    /// <summary>How often a window fits along one axis.</summary>
    private static Dimension Window(Node node, Dimension extent, Dimension kernel, int axis, int spatial)
    {
        var stride = node.Ints("strides")?[axis] ?? 1;
        if (extent.Value is not { } size || kernel.Value is not { } length || stride < 1)
            return Dimension.Unknown;
        var reach = checked(((length - 1) * (node.Ints("dilations")?[axis] ?? 1)) + 1);
        switch (node.Text("auto_pad", "NOTSET"))
        {
            case "SAME_UPPER" or "SAME_LOWER":
                return checked(size + stride - 1) / stride;
            case "VALID":
                break;
            default:
                var pads = node.Ints("pads");
                size = checked(size + (pads?[axis] ?? 0) + (pads?[axis + spatial] ?? 0));
                break;
        }
        if (size < reach)
            return Dimension.Unknown;
        // Runtimes disagree on a last window that starts in the padding; only an exact fit is certain.
        var isUneven = (size - reach) % stride != 0;
        return isUneven && node.Int("ceil_mode", 0) != 0 ? Dimension.Unknown : ((size - reach) / stride) + 1;
    }

    private static ImmutableArray<Dimension>? ConvTranspose(Node node, ImmutableArray<Dimension>? x, ImmutableArray<Dimension>? w)
    {
        if (x is not { } input || w is not { Length: >= 3 } weight || weight.Length != input.Length || node.Ints("output_shape") is not null || node.Text("auto_pad", "NOTSET") != "NOTSET")
            return null;
        var group = node.Int("group", 1);
        var spatial = weight.Length - 2;
        var result = ImmutableArray.CreateBuilder<Dimension>();
        result.Add(input[0]);
        result.Add(Map(weight[1], m => checked(m * group)));
        for (var i = 0; i < spatial; i++)
        {
            var pads = node.Ints("pads");
            result.Add(input[i + 2].Value is { } size && weight[i + 2].Value is { } kernel
                ? checked(((node.Ints("strides")?[i] ?? 1) * (size - 1)) + (node.Ints("output_padding")?[i] ?? 0) + ((kernel - 1) * (node.Ints("dilations")?[i] ?? 1)) + 1 - (pads?[i] ?? 0) - (pads?[i + spatial] ?? 0))
                : Dimension.Unknown);
        }
        return result.DrainToImmutable();
    }

    private static ImmutableArray<Dimension>? Pool(Node node, ImmutableArray<Dimension>? x) =>
        x is { Length: >= 3 } shape && node.Ints("kernel_shape") is { } kernel && kernel.Length == shape.Length - 2
            ? [shape[0], shape[1], .. kernel.Select((k, i) => Window(node, shape[i + 2], k, i, kernel.Length))]
            : null;

    private static ImmutableArray<Dimension>? GlobalPool(ImmutableArray<Dimension>? x) =>
        x is { Length: >= 2 } shape ? [shape[0], shape[1], .. Enumerable.Repeat((Dimension)1, shape.Length - 2)] : null;

    private static ImmutableArray<Dimension>? Gemm(Node node, ImmutableArray<Dimension>? a, ImmutableArray<Dimension>? b) =>
        a is { Length: 2 } left && b is { Length: 2 } right
            ? [left[node.Int("transA", 0) != 0 ? 1 : 0], right[node.Int("transB", 0) != 0 ? 0 : 1]]
            : null;

    private static ImmutableArray<Dimension>? MatMul(ImmutableArray<Dimension>? a, ImmutableArray<Dimension>? b)
    {
        if (a is not { Length: >= 1 } left || b is not { Length: >= 1 } right)
            return null;
        if (Broadcast(left.Length > 2 ? left[..^2] : [], right.Length > 2 ? right[..^2] : []) is not { } batch)
            return null;
        if (left.Length >= 2)
            batch = batch.Add(left[^2]);
        return right.Length >= 2 ? batch.Add(right[^1]) : batch;
    }

    private static ImmutableArray<Dimension>? Reshape(Node node, ImmutableArray<Dimension>? x, ShapeInference types)
    {
        if (List(node, 1) is not { } target)
        {
            // A computed shape of which some extents are known; 0 is one of x, and where x has none like it, nothing is known.
            return types.Contents(node.Input(1)) is { } contents && node.Int("allowzero", 0) == 0
                ? [.. contents.Select((d, i) => d.Value == 0 ? (x is { } own && i < own.Length ? own[i] : Dimension.Unknown) : d.Value < 0 ? Dimension.Unknown : d)]
                : null;
        }
        var copies = node.Int("allowzero", 0) == 0;
        var result = new Dimension[target.Length];
        var rest = x?.ToList();
        var known = 1L;
        var open = -1;
        for (var i = 0; i < target.Length; i++)
        {
            if (target[i] == -1)
            {
                open = i;
            }
            else if (target[i] == 0 && copies)
            {
                result[i] = x is { } shape ? shape[i] : Dimension.Unknown;
                // A copied extent stands on both sides and cancels out.
                if (rest is null || result[i] == Dimension.Unknown || !rest.Remove(result[i]))
                    rest = null;
            }
            else
            {
                result[i] = target[i];
                known = checked(known * target[i]);
            }
        }
        if (open >= 0 && rest is not null && known > 0)
        {
            var total = Product(rest);
            // [N, 64, 1, 1] to [-1, 64]: what is left over is the one symbol.
            var symbols = rest.Where(d => d.Value is null).ToList();
            var numbers = Product(rest.Where(d => d.Value is not null)).Value;
            result[open] = total.Value is { } count && count % known == 0 ? count / known
                : symbols is [var symbol] && numbers == known ? symbol
                : Dimension.Unknown;
        }
        return [.. result];
    }

    private static ImmutableArray<Dimension>? Flatten(Node node, ImmutableArray<Dimension>? x)
    {
        if (x is not { } shape)
            return [Dimension.Unknown, Dimension.Unknown];
        var axis = node.Int("axis", 1);
        var at = (int)(axis == shape.Length ? axis : Axis(axis, shape.Length));
        return [Product(shape[..at]), Product(shape[at..])];
    }

    private static ImmutableArray<Dimension>? Transpose(Node node, ImmutableArray<Dimension>? x) =>
        x is not { } shape ? null
        : node.Ints("perm") is not { } order ? [.. shape.Reverse()]
        : order.Length == shape.Length ? [.. order.Select(p => shape[(int)p])]
        : null;

    private static ImmutableArray<Dimension>? Concat(Node node, ShapeInference types)
    {
        ImmutableArray<Dimension>? result = null;
        for (var i = 0; i < node.Inputs.Count; i++)
        {
            if (types.Input(node, i).Shape is not { } shape)
                return null;
            var axis = (int)Axis(node.Int("axis", 0), shape.Length);
            if (result is not { } sofar)
            {
                result = shape;
                continue;
            }
            if (sofar.Length != shape.Length)
                return null;
            result = [.. sofar.Select((d, k) => k == axis
                ? (d.Value is { } a && shape[k].Value is { } b ? checked(a + b) : Dimension.Unknown)
                : (d.Value is null && shape[k].Value is not null ? shape[k] : d))];
        }
        return result;
    }

    private static ImmutableArray<Dimension>? Squeeze(Node node, ImmutableArray<Dimension>? x)
    {
        if (x is not { } shape || Axes(node, 1, shape.Length) is not { } axes)
            return null;
        if (axes.Length > 0)
            return Drop(shape, axes, keep: false);
        return shape.All(d => d.Value is not null) ? [.. shape.Where(d => d.Value != 1)] : null;
    }

    private static ImmutableArray<Dimension>? Unsqueeze(Node node, ImmutableArray<Dimension>? x)
    {
        if (x is not { } shape || List(node, 1, "axes") is not { } axes)
            return null;
        var rank = shape.Length + axes.Length;
        var places = axes.Select(a => Axis(a, rank)).ToHashSet();
        if (places.Count != axes.Length)
            return null;
        var next = 0;
        return [.. Enumerable.Range(0, rank).Select(i => places.Contains(i) ? 1 : shape[next++])];
    }

    /// <summary>The extents that Shape returns.</summary>
    public static (int Start, int Count) ShapeRange(Node node, int rank)
    {
        long Clamp(long index) => Math.Clamp(index < 0 ? index + rank : index, 0, rank);
        var start = Clamp(node.Int("start", 0));
        var end = Clamp(node.Int("end", rank));
        return ((int)start, (int)Math.Max(0, end - start));
    }

    private static TensorType Constant(Node node)
    {
        if (node.TensorAttribute("value") is { } tensor)
            return new TensorType(tensor.Type, [.. tensor.Shape.Select(d => (Dimension)d)]);
        return node.Attributes.Values.FirstOrDefault() switch
        {
            AttributeValue.Int => new TensorType(ElementType.Int64, []),
            AttributeValue.Float => new TensorType(ElementType.Float, []),
            AttributeValue.Text => new TensorType(ElementType.String, []),
            AttributeValue.Ints a => new TensorType(ElementType.Int64, [a.Values.Length]),
            AttributeValue.Floats a => new TensorType(ElementType.Float, [a.Values.Length]),
            AttributeValue.Texts a => new TensorType(ElementType.String, [a.Values.Length]),
            _ => default,
        };
    }

    private static ImmutableArray<Dimension>? Gather(Node node, ImmutableArray<Dimension>? x, ImmutableArray<Dimension>? indices)
    {
        if (x is not { } shape || indices is not { } taken)
            return null;
        var axis = (int)Axis(node.Int("axis", 0), shape.Length);
        return [.. shape[..axis], .. taken, .. shape[(axis + 1)..]];
    }

    private static ImmutableArray<Dimension>? Slice(Node node, ImmutableArray<Dimension>? x)
    {
        if (x is not { } shape)
            return null;
        var isOld = node.Ints("starts") is not null;
        var starts = List(node, 1, "starts");
        var ends = List(node, 2, "ends");
        var axes = isOld ? node.Ints("axes")?.ToArray() : List(node, 3);
        var steps = isOld ? null : List(node, 4);
        var isAxesUnknown = !isOld && axes is null && node.Input(3) is not null;
        if (isAxesUnknown)
            return [.. shape.Select(_ => Dimension.Unknown)];
        axes ??= starts is null ? null : [.. Enumerable.Range(0, starts.Length).Select(i => (long)i)];
        if (axes is null)
            return [.. shape.Select(_ => Dimension.Unknown)];
        var isStepsUnknown = !isOld && steps is null && node.Input(4) is not null;
        var result = shape.ToBuilder();
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = (int)Axis(axes[i], shape.Length);
            result[axis] = starts is null || ends is null || isStepsUnknown ? Dimension.Unknown : Map(shape[axis], e => Sliced(starts[i], ends[i], steps?[i] ?? 1, e).Count);
        }
        return result.DrainToImmutable();
    }

    /// <summary>Slice's rule for one axis: the first index and how many are taken.</summary>
    /// <exception cref="ArgumentException">The step is 0.</exception>
    public static (long First, long Count) Sliced(long start, long end, long step, long extent)
    {
        if (step == 0)
            throw new ArgumentException("a step of 0");
        // Ends like long.MinValue are usual: clamp before adding.
        long Place(long index, long lowest, long highest) => Math.Clamp(index < 0 ? Math.Max(index, -extent - 1) + extent : index, lowest, highest);
        var first = step > 0 ? Place(start, 0, extent) : Place(start, 0, extent - 1);
        var last = step > 0 ? Place(end, 0, extent) : Place(end, -1, extent - 1);
        var distance = step > 0 ? last - first : first - last;
        // |step| in unsigned form: the smallest number has no positive twin.
        var stride = step > 0 ? (ulong)step : unchecked((ulong)-step);
        return (first, distance <= 0 ? 0 : (long)(((ulong)distance - 1) / stride) + 1);
    }

    private static ImmutableArray<Dimension>? Pad(Node node, ImmutableArray<Dimension>? x)
    {
        if (x is not { } shape)
            return null;
        var unknown = shape.Select(_ => Dimension.Unknown).ToImmutableArray();
        if (List(node, 1, "pads") is not { } pads)
            return unknown;
        var axes = node.Input(3) is null ? [.. Enumerable.Range(0, shape.Length).Select(i => (long)i)] : List(node, 3);
        if (axes is null || pads.Length != 2 * axes.Length)
            return unknown;
        var result = shape.ToBuilder();
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = (int)Axis(axes[i], shape.Length);
            result[axis] = pads[i] == 0 && pads[i + axes.Length] == 0 ? shape[axis] : Map(shape[axis], e => checked(e + pads[i] + pads[i + axes.Length]));
        }
        return result.DrainToImmutable();
    }

    private static void Split(Node node, TensorType x, Span<TensorType> outputs)
    {
        if (x.Shape is not { } shape)
        {
            outputs.Fill(x);
            return;
        }
        var axis = (int)Axis(node.Int("axis", 0), shape.Length);
        var sizes = List(node, 1, "split");
        for (var i = 0; i < outputs.Length; i++)
        {
            var parts = outputs.Length;
            var extent = sizes is not null ? sizes[i]
                : node.Input(1) is not null ? Dimension.Unknown
                : Map(shape[axis], e => i < parts - 1 ? (e + parts - 1) / parts : e - ((e + parts - 1) / parts * (parts - 1)));
            outputs[i] = x with { Shape = shape.SetItem(axis, extent) };
        }
    }

    private static ImmutableArray<Dimension>? Reduce(Node node, ImmutableArray<Dimension>? x)
    {
        if (x is not { } shape || Axes(node, 1, shape.Length) is not { } axes)
            return null;
        if (axes.Length == 0 && node.Int("noop_with_empty_axes", 0) != 0)
            return shape;
        return Drop(shape, axes.Length == 0 ? [.. Enumerable.Range(0, shape.Length).Select(i => (long)i)] : axes, node.Int("keepdims", 1) != 0);
    }

    private static ImmutableArray<Dimension> Drop(ImmutableArray<Dimension> shape, long[] axes, bool keep)
    {
        var places = axes.Select(a => Axis(a, shape.Length)).ToHashSet();
        return keep
            ? [.. shape.Select((d, i) => places.Contains(i) ? 1 : d)]
            : [.. shape.Where((_, i) => !places.Contains(i))];
    }

    private static ImmutableArray<Dimension>? Resize(Node node, ImmutableArray<Dimension>? x)
    {
        if (x is not { } shape || node.Ints("axes") is not null || node.Text("keep_aspect_ratio_policy", "stretch") != "stretch")
            return null;
        if (List(node, 3) is { Length: > 0 } sizes)
            return sizes.Length == shape.Length ? [.. sizes.Select(s => (Dimension)s)] : null;
        // Opset 10 has the scales second, later ones third.
        var scales = node.Input(node.Inputs.Count == 2 ? 1 : 2);
        if (scales is not { IsConstant: true, Constant.Type: ElementType.Float } || scales.Constant.Count != shape.Length)
            return [.. shape.Select(_ => Dimension.Unknown)];
        var factors = scales.Constant.As<float>().ToArray();
        return [.. shape.Select((d, i) => factors[i] == 1 ? d : Map(d, e => checked((long)MathF.Floor(e * factors[i]))))];
    }

    private static ImmutableArray<Dimension>? Blocks(Node node, ImmutableArray<Dimension>? x)
    {
        var block = node.Int("blocksize", 0);
        if (x is not { Length: 4 } shape || block < 1 || block > short.MaxValue)
            return null;
        return node.OpType == "DepthToSpace"
            ? [shape[0], Map(shape[1], c => c / (block * block)), Map(shape[2], e => checked(e * block)), Map(shape[3], e => checked(e * block))]
            : [shape[0], Map(shape[1], c => checked(c * block * block)), Map(shape[2], e => e / block), Map(shape[3], e => e / block)];
    }
}
