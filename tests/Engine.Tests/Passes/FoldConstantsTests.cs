using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Tests.Graphs;

namespace TinyMLaaS.Engine.Tests.Passes;

public sealed class FoldConstantsTests
{
    // f, i, s and b are constants; y must become one, with the runtime's own result.
    [Theory]
    [InlineData("const p: int64[2] = 4 -1\ny = Reshape(f, p)")]
    [InlineData("const p: int64[2] = 0 -1\ny = Reshape(f, p)")]
    [InlineData("y = Flatten(f) axis=2")]
    [InlineData("y = Transpose(f)")]
    [InlineData("y = Transpose(f) perm=[1,2,0]")]
    [InlineData("y = Concat(f, f, f) axis=-2")]
    [InlineData("y, z = Split(f) axis=1")]
    [InlineData("const p: int64[2] = 1 1\ny, z = Split(f, p) axis=-2")]
    [InlineData("const a: int64[2] = 0 -1\ny = Unsqueeze(f, a)")]
    [InlineData("const q: float[1,3,1] = 1 2 3\ny = Squeeze(q)")]
    [InlineData("const q: float[1,3,1] = 1 2 3\nconst a: int64[1] = -1\ny = Squeeze(q, a)")]
    [InlineData("const t: int64[2] = 1 0\nconst u: int64[2] = 9223372036854775807 -1\nconst a: int64[2] = 2 0\ny = Slice(f, t, u, a)")]
    [InlineData("const t: int64[1] = -1\nconst u: int64[1] = -9223372036854775808\nconst a: int64[1] = 2\nconst e: int64[1] = -2\ny = Slice(f, t, u, a, e)")]
    [InlineData("const t: int64[2] = 5 0\nconst u: int64[2] = 9 1\ny = Slice(f, t, u)")]
    [InlineData("const n: int64[2,2] = 0 -1 1 0\ny = Gather(f, n) axis=2")]
    [InlineData("const n: int64[] = 1\ny = Gather(s, n)")]
    [InlineData("const e: int64[4] = 2 2 2 3\ny = Expand(f, e)")]
    [InlineData("y = ConstantOfShape(s)")]
    [InlineData("y = Add(f, g)")]
    [InlineData("y = Sub(g, f)")]
    [InlineData("y = Mul(f, f)")]
    [InlineData("y = Div(f, g)")]
    [InlineData("y = Div(i, j)")]
    [InlineData("y = Mod(i, j)")]
    [InlineData("y = Mul(i, j)")]
    [InlineData("y = Min(f, g)")]
    [InlineData("y = Max(i, j)")]
    [InlineData("y = Less(f, g)")]
    [InlineData("y = GreaterOrEqual(i, j)")]
    [InlineData("y = Equal(i, j)")]
    [InlineData("k = Less(i, j)\ny = Where(k, i, j)")]
    [InlineData("k = Less(i, j)\nl = Not(k)\ny = Or(k, l)")]
    [InlineData("y = Neg(f)")]
    [InlineData("y = Abs(i)")]
    [InlineData("h = Abs(f)\ny = Sqrt(h)")]
    [InlineData("y = Reciprocal(g)")]
    [InlineData("y = Floor(f)")]
    [InlineData("y = Ceil(f)")]
    [InlineData("y = Cast(f) to=7")]
    [InlineData("y = Cast(i) to=1")]
    [InlineData("y = Cast(i) to=9")]
    [InlineData("y = ReduceProd(s) keepdims=0")]
    [InlineData("y = Shape(f)")]
    [InlineData("y = Size(f)")]
    [InlineData("y = Constant() value_ints=[3,4]")]
    [InlineData("y = Constant() value_float=0.5")]
    public void Gives_what_the_runtime_gives(string nodes)
    {
        var text = $"""
            in x: float[1]
            const f: float[2,2,3] ~ 4
            const g: float[3] = 0.3 -2 7
            const i: int64[4] = 7 -7 5 -2147483649
            const j: int64[4] = 2 2 -3 2
            const s: int64[3] = 2 3 1
            {nodes}
            w = Neg(x)
            """;
        // The result is an output through a cast, since what is an output itself is not folded.
        var output = text + "\nr = Cast(y) to=1\nv = Mul(r, x)\nout v\nout w";
        var original = OnnxFile.ToBytes(GraphText.Parse(output));
        var model = GraphText.Parse(output);

        var results = PassRunner.Run(model, [new FoldConstants(), new RemoveDeadCode()], PassContext.Default);

        Assert.True(results[0].IsModified);
        Assert.Equal(["Neg", "Mul"], model.Graph.Nodes.Select(n => n.OpType));
        var inputs = Oracle.Inputs(original, seed: 7);
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 0, 0);
    }

    [Fact]
    public void Takes_known_extents_out_of_a_shape_with_a_symbol()
    {
        var model = GraphText.Parse("""
            in x: float[N,3,8,9]
            const n: int64[1] = -2
            const z: int64[1] = 0
            s = Shape(x)
            h = Gather(s, n)
            b = Gather(s, z)
            t = Concat(b, h) axis=0
            out t
            """);

        PassRunner.Run(model, [new FoldConstants(), new RemoveDeadCode()], PassContext.Default);

        Assert.Equal(GraphText.Lines("""
            in x: float[N,3,8,9]
            const h: int64[1] = 8
            const z: int64[1] = 0
            s = Shape(x)
            b = Gather(s, z)
            t = Concat(b, h) axis=0
            out t
            """), GraphText.Dump(model));
    }

    [Theory]
    [InlineData("const w: float[2] = 1 2\ny = Relu(w)\nz = Add(x, y)", "it is not among those that are computed")]
    [InlineData("const w: float[2] = 1 2\ny = Exp(w)\nz = Add(x, y)", "its result depends on a library")]
    [InlineData("const e: int64[2] = 1000 2\nconst w: float[2] = 1 2\ny = Expand(w, e)\nz = Add(x, y)", "the file would grow")]
    [InlineData("const s: int64[1] = 100000000000\ny = ConstantOfShape(s)\nz = Add(x, y)", "the file would grow")]
    [InlineData("in w: float[2]\nconst w: float[2] = 1 2\ny = Neg(w)\nz = Add(x, y)", "a caller can override it")]
    [InlineData("const q: int8[2] = 1 2\nconst s: float[] = 0.5\ny = DequantizeLinear(q, s)\nz = Add(x, y)", "it is a quantized weight")]
    [InlineData("const a: int64[2] = 1 2\nconst b: int64[2] = 1 0\ni = Div(a, b)\ny = Cast(i) to=1\nz = Add(x, y)", "it has no result")]
    [InlineData("s = Shape(x)\ny = Cast(s) to=1\nz = Add(x, y)", "the extent is a symbol")]
    [InlineData("const w: float[2] = 1 2\nz = Neg(w)", "it is an output")]
    public void Leaves_what_it_should_not_compute(string nodes, string why)
    {
        var model = GraphText.Parse($"in x: float[N]\n{nodes}\nout z");
        var before = GraphText.Dump(model);

        var result = PassRunner.Run(model, [new FoldConstants()], PassContext.Default);

        Assert.True(!result[0].IsModified && before == GraphText.Dump(model), why);
    }

    [Fact]
    public void Does_not_copy_a_weight_that_others_read_too()
    {
        var model = GraphText.Parse("in x: float[20,20]\nconst w: float[20,20] ~ 1\nt = Transpose(w)\na = MatMul(x, t)\nb = MatMul(a, w)\nout b");

        Assert.False(PassRunner.Run(model, [new FoldConstants()], PassContext.Default)[0].IsModified);
    }
}
