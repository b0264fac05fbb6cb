using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Tests.Graphs;

namespace TinyMLaaS.Engine.Tests.Passes;

public sealed class MoveTransposesTests
{
    // a is the result of a Conv with channels last; the nodes work on it and give b, which the next Conv reads with channels first.
    [Theory]
    [InlineData("b = Relu(a)")]
    [InlineData("b = Clip(a, low, high)")]
    [InlineData("s = Sigmoid(a)\nb = Mul(a, s)")]
    [InlineData("b = Add(a, bias)")]
    [InlineData("b = Mul(a, map)")]
    [InlineData("b = PRelu(a, bias)")]
    [InlineData("s = Relu(a)\nt = Neg(a)\nc = Concat(s, t) axis=-1\nf, b = Split(c) axis=3")]
    [InlineData("p = Pad(a, pads)\nb = Slice(p, starts, ends, axes)")]
    [InlineData("b = Softmax(a)")]
    [InlineData("b = LogSoftmax(a) axis=1")]
    [InlineData("m = ReduceMean(a) axes=[1,2] keepdims=1\nb = Sub(a, m)")]
    [InlineData("m = ReduceSum(a, axes)\nb = Div(a, m)")]
    [InlineData("r = Resize(a, , sizes) mode=\"nearest\"\nb = Relu(r)")]
    [InlineData("r = Resize(a, , sizes) mode=\"linear\"\nb = Relu(r)")]
    [InlineData("r = Resize(a, , , wide) mode=\"linear\" coordinate_transformation_mode=\"asymmetric\"\nb = Relu(r)")]
    [InlineData("e = Greater(a, half)\nb = Where(e, a, half)")]
    [InlineData("i = Cast(a) to=11\nb = Cast(i) to=1")]
    public void Transposes_around_operators_that_need_no_order_cancel(string nodes)
    {
        var text = $"""
            in x: float[1,3,4,5]
            const w: float[4,3,1,1] ~ 1
            const v: float[2,4,1,1] ~ 2
            const low: float[] = -0.5
            const high: float[] = 0.75
            const half: float[] = 0.5
            const bias: float[4] = 1 -2 3 4
            const map: float[4,5,1] ~ 3
            const pads: int64[8] = 0 1 0 2 0 0 3 0
            const starts: int64[2] = 1 2
            const ends: int64[2] = 4 6
            const axes: int64[2] = 1 -1
            const sizes: float[4] = 1 2 3 1
            const wide: int64[4] = 1 7 6 4
            n = Conv(x, w)
            a = Transpose(n) perm=[0,2,3,1]
            {nodes}
            d = Transpose(b) perm=[0,3,1,2]
            y = Conv(d, v)
            out y
            """;

        var result = AssertSame(text);

        Assert.DoesNotContain("Transpose(", result, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("m = ReduceMean(a) axes=[1,2] keepdims=0\ny = Relu(m)", 0)]
    [InlineData("y = Relu(a)", 1)]
    [InlineData("b = Relu(a)\nc = Neg(a)\ny = MatMul(b, k)\nz = MatMul(c, k)\nout z", 1)]
    [InlineData("b = Relu(a)\nc = Transpose(b) perm=[0,1,3,2]\ny = MatMul(c, l)", 1)]
    [InlineData("q = Transpose(x) perm=[0,2,3,1]\nb = Relu(a)\nc = Relu(q)\nf = Concat(b, c) axis=3\ny = Transpose(f) perm=[0,3,1,2]", 0)]
    [InlineData("b = Sigmoid(a)\nc = Mul(a, b)\ny = Transpose(c) perm=[0,3,1,2]\nz = Neg(c)\nout z", 1)]
    public void As_few_transposes_remain_as_can(string nodes, int remaining)
    {
        var result = AssertSame($"in x: float[1,3,4,5]\nconst w: float[4,3,1,1] ~ 1\nconst k: float[4,2] ~ 2\nconst l: float[5,2] ~ 3\nn = Conv(x, w)\na = Transpose(n) perm=[0,2,3,1]\n{nodes}\nout y");

        Assert.Equal(remaining, result.Split(" = Transpose(").Length - 1);
    }

    [Fact]
    public void The_activation_of_a_conv_comes_next_to_it()
    {
        var result = AssertSame("in x: float[1,3,4,5]\nconst w: float[4,3,1,1] ~ 1\nn = Conv(x, w)\na = Transpose(n) perm=[0,2,3,1]\ny = Relu(a)\nout y");

        Assert.Contains("Relu(n)\n", result, StringComparison.Ordinal);
        Assert.Contains("y = Transpose(", result, StringComparison.Ordinal);
    }

    // Each stands between two Transposes that would cancel but for it.
    [Theory]
    [InlineData("b = Add(a, x)")]
    [InlineData("b = Add(a, o)")]
    [InlineData("b = CumSum(a, one)")]
    [InlineData("b = Resize(a, , sizes) mode=\"cubic\"")]
    [InlineData("p = Pad(a, pads)\nb = Relu(p)")]
    [InlineData("b = Relu(a)\nz = Relu(b)\nout a\nout z")]
    [InlineData("b = own:Any(a)")]
    [InlineData("m = ReduceMean(a) axes=[2] keepdims=0\nb = Unsqueeze(m, one)")]
    public void Transposes_that_something_needs_stay(string nodes)
    {
        var model = GraphText.Parse($"in x: float[1,4,4,4]\nin pads: int64[8]\nin o: float[4]\nconst one: int64[1] = 1\nconst sizes: float[4] = 1 2 3 1\na = Transpose(x) perm=[0,2,3,1]\n{nodes}\ny = Transpose(b) perm=[0,3,1,2]\nout y");

        PassRunner.Run(model, [new MoveTransposes()], PassContext.Default);

        Assert.Equal(2, GraphText.Dump(model).Split(" = Transpose(").Length - 1);
    }

    [Fact]
    public void A_transpose_that_reads_what_another_moves_past_stays_right() =>
        AssertSame("in x: float[2,2,2]\na = Transpose(x) perm=[1,2,0]\nb = Relu(a)\nc = Transpose(b) perm=[1,2,0]\nd = Add(c, a)\ne = Transpose(d) perm=[2,0,1]\ny = Neg(e)\nout y");

    [Fact]
    public void A_large_constant_that_others_read_too_is_not_copied()
    {
        const string text = "in x: float[1,4,5,3]\nconst c: float[5,3,4] ~ 1\na = Transpose(x) perm=[0,2,3,1]\nb = Mul(a, c)\ny = Transpose(b) perm=[0,3,1,2]\nz = Neg(c)\nw = MatMul(c, a)\nout y\nout w";
        var model = GraphText.Parse(text);

        Assert.Empty(PassRunner.Run(model, [new MoveTransposes()], PassContext.Default)[0].Applied);
    }

    [Fact]
    public void What_is_excluded_stays_as_it_is()
    {
        const string text = "in x: float[1,4,5,3]\na = Transpose(x) @t perm=[0,2,3,1]\nb = Relu(a) @relu\ny = Transpose(b) @u perm=[0,3,1,2]\nout y";
        foreach (var name in (string[])["t", "relu", "u"])
        {
            var model = GraphText.Parse(text);

            PassRunner.Run(model, FusePasses.All, new PassContext(n => n.Name == name));

            Assert.Contains(text.Split('\n').Single(l => l.Contains($"@{name} ", StringComparison.Ordinal) || l.EndsWith($"@{name}", StringComparison.Ordinal)), GraphText.Dump(model), StringComparison.Ordinal);
        }
    }

    private static string AssertSame(string text)
    {
        var original = OnnxFile.ToBytes(GraphText.Parse(text));
        var model = GraphText.Parse(text);
        PassRunner.Run(model, FusePasses.All, PassContext.Default);
        var inputs = Oracle.Inputs(original, seed: 7);
        // A few dozen products of magnitude one: float error stays below 1e-5, and an element out of its place is off by far more.
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 1e-5f, 1e-5f);
        return GraphText.Dump(model);
    }
}
