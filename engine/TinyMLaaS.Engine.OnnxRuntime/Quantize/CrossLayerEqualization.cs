using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// Channels of very different size share a grid badly. Where two operators with weights are joined by functions <c>f</c> with <c>f(s x) = s f(x)</c> for every s above 0, channel i between them can be made
/// smaller by s[i] at the first (<c>W1[i] / s[i]</c>, <c>b1[i] / s[i]</c>) and larger at the second (<c>W2[:, i] * s[i]</c>) without any change of what the network computes
/// (M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1). A Clip is no such function and no pair is formed across it.
/// <para><c>s[i] = sqrt(r1[i] / r2[i])</c> makes the two ranges r1[i] and r2[i] equal. By weights, these are the largest magnitudes of W1[i] and W2[:, i], as in the paper. By activations, r1[i] is the
/// largest magnitude seen in the channel, and r2[i] the largest share of its row that the column has, since rows have scales of their own: what rounding meets when weights are rounded channel by
/// channel (G. Xiao et al., "SmoothQuant", 2023, section 4). Pairs that share an operator, as Conv, depthwise Conv and Conv do, are taken in turn until nothing moves.</para>
/// </summary>
internal sealed class CrossLayerEqualization
{
    private const int MostRounds = 20;
    private const double Settled = 1e-3;

    // Beyond this a channel is as good as empty, and its noise would be blown up.
    private const double LargestFactor = 1000;

    private readonly Dictionary<Node, Scaling> _scalings = [];

    private CrossLayerEqualization(IReadOnlyList<(Node, Node)> pairs) => Pairs = pairs;

    /// <summary>The pairs, in the graph's order.</summary>
    public IReadOnlyList<(Node First, Node Second)> Pairs { get; }

    /// <summary>Names of the tensors whose values change: what the first of a pair makes and all up to the second.</summary>
    public IEnumerable<string> Between
    {
        get
        {
            foreach (var (first, second) in Pairs)
            {
                for (var value = first.Output; ; value = value.Uses[0].Node.Output)
                {
                    yield return value.Name;
                    if (ReferenceEquals(value, second.Input(0)))
                        break;
                }
            }
        }
    }

    /// <summary>Finds the pairs of a network.</summary>
    /// <param name="graph">A fused network.</param>
    /// <param name="isFree">Whether an operator's weights may change.</param>
    public static CrossLayerEqualization Of(Graph graph, Func<Node, bool> isFree)
    {
        var pairs = new List<(Node, Node)>();
        foreach (var first in graph.Nodes.Where(n => isFree(n) && IsOwner(n)))
        {
            if (Partner(first) is { } second && isFree(second) && IsOwner(second) && Scaling.Inputs(second) == Scaling.Outputs(first) && HasRowBias(first))
                pairs.Add((first, second));
        }
        return new CrossLayerEqualization(pairs);
    }

    /// <summary>Scales the weights of all pairs, in the graph that they stand in. Call once.</summary>
    /// <param name="magnitudes">The largest magnitude seen in each channel of what the second of a pair reads; null goes by weights.</param>
    public void Apply(Func<Node, double[]>? magnitudes)
    {
        foreach (var (first, second) in Pairs)
        {
            _scalings.TryAdd(first, new Scaling(first));
            _scalings.TryAdd(second, new Scaling(second));
        }
        for (var (round, moved) = (0, double.PositiveInfinity); round < MostRounds && moved > Settled; round++)
        {
            moved = 0;
            foreach (var (first, second) in Pairs)
                moved = Math.Max(moved, Equalize(_scalings[first], _scalings[second], magnitudes?.Invoke(second)));
        }
        foreach (var scaling in _scalings.Values)
            scaling.Write();
    }

    private static double Equalize(Scaling first, Scaling second, double[]? magnitudes)
    {
        var before = magnitudes is null ? first.LargestByOutput() : [.. magnitudes.Select((m, i) => m / first.Output[i])];
        var after = second.LargestByInput(isShare: magnitudes is not null);
        var moved = 0d;
        for (var i = 0; i < before.Length; i++)
        {
            if (!(before[i] > 0 && after[i] > 0))
                continue;
            var factor = Math.Clamp(first.Output[i] * Math.Sqrt(before[i] / after[i]), 1 / LargestFactor, LargestFactor) / first.Output[i];
            first.Output[i] *= factor;
            second.Input[i] *= factor;
            moved = Math.Max(moved, Math.Abs(Math.Log(factor)));
        }
        return moved;
    }

    /// <summary>The operator with weights that alone reads what one makes, through functions that let a positive factor pass.</summary>
    private static Node? Partner(Node first)
    {
        var value = first.Output;
        while (value is { IsOutput: false, Uses: [{ Index: 0, Node: { Domain.Length: 0 } node }] } && ReferenceEquals(node.Graph, first.Graph) && node.Outputs is [{ } output])
        {
            if (node.Is("Conv") || node.Is("Gemm"))
                return node;
            var passes = node.OpType is "Relu" or "LeakyRelu" or "Identity" or "MaxPool" or "AveragePool" or "GlobalAveragePool"
                || (node.Is("PRelu") && node.Input(1) is { IsConstant: true })
                || (node.Is("Flatten") && node.Int("axis", 1) == 1);
            if (!passes)
                return null;
            value = output;
        }
        return null;
    }

    /// <summary>Whether an operator's weights and bias are float constants that nothing else reads.</summary>
    private static bool IsOwner(Node node) =>
        (node.Is("Conv") || (node.Is("Gemm") && node.Int("transA", 0) == 0))
        && node.Input(1) is { IsConstant: true, IsOutput: false, Uses.Count: 1, Constant.Type: ElementType.Float }
        && node.Input(2) is null or { IsConstant: true, IsOutput: false, Uses.Count: 1, Constant.Type: ElementType.Float };

    private static bool HasRowBias(Node node) => node.Input(2) is not { } bias || bias.Constant!.Count == Scaling.Outputs(node);

    /// <summary>The factors of an operator's channels: its weights become <c>W[o, i] * Input[i] / Output[o]</c>, its bias <c>b[o] / Output[o]</c>.</summary>
    private sealed class Scaling
    {
        private readonly Node _node;
        private readonly float[] _weights;
        private readonly int[] _outputs;
        private readonly int[] _inputs;

        public Scaling(Node node)
        {
            _node = node;
            var tensor = node.Input(1)!.Constant!;
            _weights = tensor.As<float>().ToArray();
            _outputs = new int[_weights.Length];
            _inputs = new int[_weights.Length];
            var shape = tensor.Shape;
            var isConv = node.Is("Conv");
            var isRowMajor = isConv || node.Int("transB", 0) != 0;
            var group = isConv ? node.Int("group", 1) : 1;
            var run = isConv ? Tensor.CountOf(shape.AsSpan()[2..]) : 1;
            for (var i = 0; i < _weights.Length; i++)
            {
                var (major, minor) = (i / (run * shape[1]), i / run % shape[1]);
                _outputs[i] = (int)(isRowMajor ? major : minor);
                _inputs[i] = (int)(isRowMajor ? (major / (shape[0] / group) * shape[1]) + minor : major);
            }
            Output = [.. Enumerable.Repeat(1d, (int)Outputs(node))];
            Input = [.. Enumerable.Repeat(1d, (int)Inputs(node))];
        }

        public double[] Output { get; }

        public double[] Input { get; }

        public static long Outputs(Node node) => QuantizationPlan.OutputChannels(node);

        public static long Inputs(Node node)
        {
            var shape = node.Input(1)!.Constant!.Shape;
            return node.Is("Conv") ? shape[1] * node.Int("group", 1) : shape[1 - QuantizationPlan.ChannelAxis(node)];
        }

        public double[] LargestByOutput() => Largest(Output.Length, _outputs, i => Now(i));

        public double[] LargestByInput(bool isShare)
        {
            if (!isShare)
                return Largest(Input.Length, _inputs, i => Now(i));
            var rows = LargestByOutput();
            return Largest(Input.Length, _inputs, i => rows[_outputs[i]] > 0 ? Now(i) / rows[_outputs[i]] : 0);
        }

        public void Write()
        {
            var (weight, bias) = (_node.Input(1)!, _node.Input(2));
            weight.Graph.SetContent(weight, Tensor.From<float>(weight.Constant!.Shape.AsSpan(), [.. _weights.Select((w, i) => (float)(w * Input[_inputs[i]] / Output[_outputs[i]]))]));
            if (bias is not null && Output.Any(o => o != 1))
                bias.Graph.SetContent(bias, Tensor.From<float>(bias.Constant!.Shape.AsSpan(), [.. bias.Constant.As<float>().ToArray().Select((b, i) => (float)(b / Output[i]))]));
        }

        private double Now(int i) => Math.Abs(_weights[i]) * Input[_inputs[i]] / Output[_outputs[i]];

        private static double[] Largest(int count, int[] channels, Func<int, double> of)
        {
            var result = new double[count];
            for (var i = 0; i < channels.Length; i++)
                result[channels[i]] = Math.Max(result[channels[i]], of(i));
            return result;
        }
    }
}

/// <summary>What equalization makes equal between two operators.</summary>
internal enum EqualizationBasis
{
    /// <summary>The ranges of their weights.</summary>
    Weights,
    /// <summary>The range of the activation between them and the share of the second one's weights.</summary>
    Activations,
}
