using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Tests.Graphs;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

/// <summary>Beyond the range, ONNX Runtime must give what it gives at the nearer end; a little within it, something else.</summary>
public sealed class NeededRangeTests
{
    private const double Infinity = double.PositiveInfinity;

    private static readonly float[] Inputs = [.. Enumerable.Range(-40, 81).Select(i => i * 0.25f)];

    [Theory]
    [InlineData("y = Relu(x)", 0, Infinity)]
    [InlineData("y = Clip(x, zero, six)", 0, 6)]
    [InlineData("y = Clip(x, , six)", -Infinity, 6)]
    [InlineData("y = HardSigmoid(x) alpha=0.2 beta=0.5", -2.5, 2.5)]
    [InlineData("y = HardSwish(x)", -3, Infinity)]
    [InlineData("l = LeakyRelu(x) alpha=0.2\ny = Max(l, low)", -2, Infinity)]
    [InlineData("y = Max(x, lows)", -1.5, Infinity)]
    [InlineData("y = Min(x, six)", -Infinity, 6)]
    [InlineData("a = Add(x, three)\nc = Clip(a, zero, six)\nm = Mul(x, c)\ny = Div(m, six)", -3, Infinity)]
    [InlineData("a = Add(three, x)\nc = Clip(a, zero, six)\nd = Div(c, six)\ny = Mul(d, x)", -3, Infinity)]
    [InlineData("s = HardSigmoid(x) alpha=0.2 beta=0.5\ny = Mul(s, x)", -2.5, Infinity)]
    [InlineData("a = Add(x, three)\nr = Relu(a)\nn = Min(r, six)\ny = Mul(x, n)", -3, Infinity)]
    [InlineData("m = Mul(x, three)\ns = Sub(m, six)\ny = Clip(s, zero, six)", 2, 4)]
    [InlineData("p = MaxPool(x) kernel_shape=[1,1]\nt = Transpose(p)\nc = Concat(t, t) axis=0\ny = Relu(c)", 0, Infinity)]
    [InlineData("a = Relu(x)\nb = Clip(x, low, six)\ny = Add(a, b)", -0.4, Infinity)]
    [InlineData("s = Sub(six, x)\ny = Relu(s)", -Infinity, Infinity)]
    [InlineData("m = Mul(x, low)\ny = Relu(m)", -Infinity, Infinity)]
    [InlineData("a = Relu(x)\nb = Identity(x)\ny = Add(a, b)", -Infinity, Infinity)]
    [InlineData("l = LeakyRelu(x) alpha=-0.2\ny = Max(l, low)", -Infinity, Infinity)]
    [InlineData("a = Sub(x, three)\nc = Relu(a)\ns = Sigmoid(x)\ny = Mul(s, c)", -Infinity, Infinity)]
    [InlineData("a = Add(x, three)\nc = Clip(a, low, six)\ny = Mul(x, c)", -Infinity, Infinity)]
    [InlineData("s = Sigmoid(x)\na = Add(s, low)\nc = Relu(a)\ny = Mul(x, c)", -Infinity, Infinity)]
    public void Is_all_that_makes_a_difference(string rest, double minimum, double maximum)
    {
        var text = $"in x: float[1,1,1,81]\nconst zero: float[] = 0\nconst six: float[] = 6\nconst three: float[1] = 3\nconst low: float[] = -0.4\nconst lows: float[3,1] = -0.5 -1.5 0.25\n{rest}\nout y";
        var model = GraphText.Parse(text, opset: 14);
        Assert.Equal((minimum, maximum), NeededRange.Of(model.Graph.Find("x")!) is var (least, most) ? (Math.Round(least, 5), Math.Round(most, 5)) : default);
        var bytes = OnnxFile.ToBytes(model);
        float[] Run(double from, double to)
        {
            float[] values = [.. Inputs.Select(v => (float)Math.Clamp(v, from, to))];
            using var input = OrtValue.CreateTensorValueFromMemory(values, [1, 1, 1, values.Length]);
            return Oracle.Run(bytes, new Dictionary<string, OrtValue> { ["x"] = input })["y"];
        }
        bool AreSame(float[] a, float[] b) => a.Zip(b).All(p => Math.Abs(p.First - p.Second) < 1e-5);
        var whole = Run(-100, 100);
        Assert.True(AreSame(whole, Run(minimum, maximum)));
        Assert.True(double.IsInfinity(minimum) || !AreSame(whole, Run(minimum + 0.5, maximum)));
        Assert.True(double.IsInfinity(maximum) || !AreSame(whole, Run(minimum, maximum - 0.5)));
    }

    [Fact]
    public void Is_everything_for_what_a_caller_or_an_operator_with_weights_reads()
    {
        var graph = GraphText.Parse("in x: float[N,2]\nconst w: float[2,2] = 1 2 3 4\na = Add(x, x)\nr = Relu(a)\nb = Mul(x, x)\ns = Relu(b)\ng = Gemm(b, w)\nout a\nout r\nout s\nout g").Graph;
        Assert.Equal((-Infinity, Infinity), NeededRange.Of(graph.Find("a")!));
        Assert.Equal((-Infinity, Infinity), NeededRange.Of(graph.Find("b")!));
    }
}
