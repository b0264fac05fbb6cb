using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// The part of a tensor's range that its readers can tell apart. What follows a Conv is often constant below or above a bound: Clip, Max(LeakyRelu(x), c), HardSigmoid, x * Clip(x + 3, 0, 6).
/// What lies beyond may saturate without any change of the outputs, and the grid is finer for all the rest.
/// </summary>
internal static class NeededRange
{
    // What is looked through from a tensor: operators one behind another, and readers of one tensor.
    private const int Longest = 8;
    private const int MostReaders = 8;

    private static readonly (double Minimum, double Maximum) Whole = (double.NegativeInfinity, double.PositiveInfinity);

    /// <summary>The least range outside of which a value may be replaced by the nearer end.</summary>
    public static (double Minimum, double Maximum) Of(Value tensor) => Of(tensor, Longest);

    private static (double Minimum, double Maximum) Of(Value tensor, int longest)
    {
        if (tensor.IsOutput || tensor.Uses.Count is 0 or > MostReaders || longest == 0)
            return Whole;
        var (minimum, maximum) = (double.PositiveInfinity, double.NegativeInfinity);
        foreach (var use in tensor.Uses)
        {
            var (least, most) = use.Node.Domain.Length == 0 && use.Node.Outputs is [{ } output] && ReferenceEquals(output.Graph, tensor.Graph) ? By(use, tensor, output, longest - 1) : Whole;
            minimum = Math.Min(minimum, least);
            maximum = Math.Max(maximum, most);
        }
        return minimum <= maximum ? (minimum, maximum) : Whole;
    }

    /// <summary>What one reader needs. Each of these functions never falls, so that saturation before it is saturation behind it at what it makes of the bound.</summary>
    private static (double Minimum, double Maximum) By(Use use, Value tensor, Value output, int longest)
    {
        var node = use.Node;
        if (node.OpType is "Identity" or "Reshape" or "Flatten" or "Transpose" or "Squeeze" or "Unsqueeze" or "Slice" or "Gather" or "MaxPool" or "Relu" or "LeakyRelu" or "Clip" or "HardSigmoid" or "HardSwish" && use.Index > 0)
            return Whole;
        (double Minimum, double Maximum) Behind() => Of(output, longest);
        switch (node.OpType)
        {
            case "Identity" or "Reshape" or "Flatten" or "Transpose" or "Squeeze" or "Unsqueeze" or "Slice" or "Gather" or "MaxPool" or "Concat":
                return Behind();
            case "Relu" or "Clip" when QuantizationPlan.Bounds(node) is { } bounds:
                return Both(bounds, Behind());
            case "LeakyRelu" when node.Float("alpha", 0.01f) is > 0 and var slope:
                double Undo(double bound) => bound < 0 ? bound / slope : bound;
                return Behind() is var (least, most) ? (Undo(least), Undo(most)) : Whole;
            case "HardSigmoid" when node.Float("alpha", 0.2f) is > 0 and var slope && node.Float("beta", 0.5f) is var offset:
                return Behind() is var (least2, most2) ? ((Math.Max(0, least2) - offset) / slope, (Math.Min(1, most2) - offset) / slope) : Whole;
            case "HardSwish":
                return (-3, double.PositiveInfinity);
            case "Max" or "Min" when Others(use) is { Length: > 0 } others:
                // Constants may differ from element to element: what all of them cut.
                return Both(node.Is("Max") ? (others.Max(o => o.Min()), double.PositiveInfinity) : (double.NegativeInfinity, others.Min(o => o.Max())), Behind());
            case "Mul" when node.Inputs.Count == 2 && node.Input(1 - use.Index) is { IsConstant: false } gate && ZeroUpTo(gate, tensor, Longest) is { } bound:
                return (bound, double.PositiveInfinity);
            case "Add" or "Sub" or "Mul" or "Div" when Step(node) is var (input, factor, offset) && use.Index == input && factor > 0:
                return Behind() is var (least3, most3) ? ((least3 - offset) / factor, (most3 - offset) / factor) : Whole;
            default:
                return Whole;
        }
    }

    private static (double Minimum, double Maximum) Both((double Minimum, double Maximum) a, (double Minimum, double Maximum) b) =>
        Math.Max(a.Minimum, b.Minimum) is var least && Math.Min(a.Maximum, b.Maximum) is var most && least <= most ? (least, most) : a;

    /// <summary>The contents of all inputs but one; null when one of them is no constant.</summary>
    private static float[][]? Others(Use use)
    {
        var others = use.Node.Inputs.Where((_, i) => i != use.Index).ToArray();
        return others.All(o => o is { IsConstant: true, Constant: { Type: ElementType.Float, Count: > 0 } }) ? [.. others.Select(o => o!.Constant!.As<float>().ToArray())] : null;
    }

    /// <summary>The bound up to which a gate is 0 as a function of a tensor; null when it is no such function.</summary>
    private static double? ZeroUpTo(Value gate, Value tensor, int longest)
    {
        if (longest == 0 || gate.Producer is not { Domain.Length: 0 } node)
            return null;
        return node.OpType switch
        {
            "Relu" or "Clip" when QuantizationPlan.Bounds(node) is { Minimum: 0 } => Solve(node.Input(0)!, tensor, 0, longest - 1),
            "HardSigmoid" when node.Float("alpha", 0.2f) is > 0 and var slope => Solve(node.Input(0)!, tensor, -node.Float("beta", 0.5f) / slope, longest - 1),
            "Min" or "Mul" or "Div" when node.Inputs.Count == 2 && node.Inputs.FirstOrDefault(i => i is { IsConstant: false }) is { } input
                && node.Inputs.FirstOrDefault(i => i is { IsConstant: true }) is { Constant: { Type: ElementType.Float, Count: 1 } constant } && constant.As<float>()[0] > 0
                && (!node.Is("Div") || ReferenceEquals(node.Input(0), input)) => ZeroUpTo(input, tensor, longest - 1),
            _ => null,
        };
    }

    /// <summary>The value of a tensor at which one that is a rising linear function of it reaches a bound.</summary>
    private static double? Solve(Value value, Value tensor, double bound, int longest) =>
        ReferenceEquals(value, tensor) ? bound
        : longest > 0 && value.Producer is { Domain.Length: 0 } node && Step(node) is var (input, factor, offset) && factor > 0 ? Solve(node.Input(input)!, tensor, (bound - offset) / factor, longest - 1)
        : null;

    /// <summary>An operator with one constant number as <c>factor * input + offset</c>, and which input that is.</summary>
    private static (int Input, double Factor, double Offset)? Step(Node node)
    {
        if (node.Inputs.Count != 2 || node.Inputs.All(i => i is not { IsConstant: true }))
            return null;
        var input = node.Input(0) is { IsConstant: true } ? 1 : 0;
        if (node.Input(1 - input) is not { IsConstant: true, Constant: { Type: ElementType.Float, Count: 1 } content } || node.Input(input) is null)
            return null;
        double number = content.As<float>()[0];
        return node.OpType switch
        {
            "Add" => (input, 1, number),
            "Sub" => input == 0 ? (0, 1, -number) : (1, -1, number),
            "Mul" => (input, number, 0),
            "Div" when input == 0 => (0, 1 / number, 0),
            _ => null,
        };
    }
}
