using TinyMLaaS.Engine.Graphs;

namespace TinyMLaaS.Engine.Rewriting;

// Conv(s[c] * x + t[c], W, b), where c counts input channels; BatchNormalization is such an affine map, and so are Mul, Div, Add and Sub of constants:
//   W'[m,j,k] = W[m,j,k] * s[c],   b'[m] = b[m] + sum over j,k of W[m,j,k] * t[c],   c = (m / (M/group)) * (C/group) + j
// A factor or summand that is one number for all channels stays: it costs next to nothing, and int8 forms of networks full of learned ones were measured 20 dB worse without.
// At the border the Conv reads zeros in place of s * 0 + t: so either t is 0 throughout, or the Conv adds no padding.

/// <summary>Folds a BatchNormalization, or a constant factor or summand for each channel, into the Conv behind it.</summary>
internal sealed class FoldAffineIntoNextConv : Rule
{
    public override string Name => "fold-affine-into-next-conv";

    public override Candidate? Match(Node node, ShapeInference types)
    {
        if (!node.Is("Conv") || node.Input(0)?.Producer is not { } affine || affine.Graph != node.Graph || affine.Domain.Length > 0)
            return null;
        if (affine.OpType == "BatchNormalization")
            return affine.Input(0) is { } x ? new Found(node, affine, x, null, types[x]) : null;
        if (affine.OpType is not ("Mul" or "Div" or "Add" or "Sub") || affine.Inputs.Count != 2)
            return null;
        for (var i = 0; i < (affine.OpType is "Div" or "Sub" ? 1 : 2); i++)
        {
            if (affine.Input(i) is { Constant: null } data && affine.Input(1 - i) is { Constant.Count: > 1 } constant)
                return new Found(node, affine, data, constant, types[data]);
        }
        return null;
    }

    private sealed record Found(Node Conv, Node Affine, Value Data, Value? Constant, TensorType Type) : Candidate(Conv, Affine)
    {
        private float[] _weight = [];
        private float[]? _bias;

        public override Blocked? Check()
        {
            if (Reasons.ReadElsewhere(Affine, Conv) is { } blocked)
                return blocked;
            var (layout, wrong) = ConvLayout.Of(Conv);
            if (layout is null)
                return wrong;
            var weight = Conv.Input(1)!.Constant!;
            var group = Conv.Int("group", 1);
            var channels = checked(weight.Shape[1] * group);
            var (map, reason) = Map(channels, weight.Shape.Length);
            if (map is null)
                return reason;
            var isShifted = map.Shift.Any(t => t != 0);
            if (isShifted && Padding() is { } padded)
                return padded;
            var w = weight.As<float>();
            var perRow = (int)(w.Length / Math.Max(1, weight.Shape[0]));
            var perChannel = (int)(perRow / Math.Max(1, weight.Shape[1]));
            var rowsPerGroup = (int)(weight.Shape[0] / group);
            int ChannelOf(int i) => (int)((i / perRow / rowsPerGroup * weight.Shape[1]) + (i % perRow / perChannel));
            _weight = map.Weight(w, ChannelOf);
            if (isShifted)
            {
                var sums = new double[weight.Shape[0]];
                for (var i = 0; i < w.Length; i++)
                    sums[i / perRow] += w[i] * map.Shift[ChannelOf(i)];
                var old = Conv.Input(2) is { } bias ? bias.Constant!.As<float>() : [];
                _bias = new float[sums.Length];
                for (var m = 0; m < sums.Length; m++)
                    _bias[m] = (float)(sums[m] + (old.IsEmpty ? 0 : old[m]));
            }
            return Reasons.NotFinite(_weight, "folded weight") ?? Reasons.NotFinite(_bias, "folded bias");
        }

        public override Node Rewrite()
        {
            var graph = Conv.Graph!;
            var weight = Conv.Input(1)!;
            var bias = _bias is null ? null : Merging.Bias(graph, Conv, _bias);
            weight.Graph.SetContent(weight, Tensor.From<float>(weight.Constant!.Shape.AsSpan(), _weight));
            var folded = Conv;
            Conv.SetInput(0, Data);
            if (bias is not null && Conv.Inputs.Count > 2)
            {
                Conv.SetInput(2, bias);
            }
            else if (bias is not null)
            {
                folded = graph.Substitute(Conv, "Conv", [Data, weight, bias]);
                folded.Unmodelled = Conv.Unmodelled;
                foreach (var (name, value) in Conv.Attributes)
                    folded.Set(name, value);
            }
            graph.Remove(Affine);
            return folded;
        }

        private (ChannelAffine? Map, Blocked? Blocked) Map(long channels, int rank)
        {
            if (Constant is null)
                return ChannelAffine.Of(Affine, channels);
            if ((Reasons.Unexpected(Affine, 2) ?? Reasons.NoFloatConstant(Constant, Affine.OpType is "Add" or "Sub" ? "summand" : "factor")) is { } blocked)
                return (null, blocked);
            // Broadcasting may widen what it meets: only for a tensor that has these channels already, the constant is one number for each.
            if (Type.Shape is not { } shape || shape.Length != rank || shape[1].Value != channels)
                return (null, new Blocked($"the channels of '{Data.Name}' are not known"));
            var (numbers, reason) = GemmBias.AlongAxis(Constant, rank, 1, channels, Affine.OpType is "Add" or "Sub" ? "summand" : "factor");
            if (numbers is null)
                return (null, reason);
            return (Affine.OpType is "Mul" or "Div"
                ? ChannelAffine.OfFactor(numbers, Affine.OpType == "Div")
                : new ChannelAffine([.. numbers.Select(_ => 1.0)], [.. numbers.Select(n => Affine.OpType == "Sub" ? -(double)n : n)]), null);
        }

        private Blocked? Padding()
        {
            var auto = Conv.Text("auto_pad", "NOTSET");
            return auto == "VALID" || (auto == "NOTSET" && Conv.Ints("pads")?.All(p => p == 0) != false)
                ? null
                : new Blocked($"'{Conv.Label}' pads by zeros, which '{Affine.Label}' would have shifted");
        }
    }
}
