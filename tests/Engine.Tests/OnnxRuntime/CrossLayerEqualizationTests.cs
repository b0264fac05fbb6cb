using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Tests.Graphs;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

public sealed class CrossLayerEqualizationTests
{
    // Weights that several graphs use; normal values, so that channels differ.
    private const string Constants = """
        in x: float[2,3,8,8]
        const a: float[4,3,3,3] ~ 1
        const ab: float[4] = 1 -2 0.5 3
        const d: float[4,1,3,3] ~ 2
        const db: float[4] = 0.1 0.2 -0.3 0.4
        const g: float[6,2,1,1] ~ 3
        const c: float[5,4,1,1] ~ 4
        const slope: float[4,1,1] = 0.1 0.2 0.3 -0.4
        const m: float[4,6] ~ 5
        const mb: float[1,6] = 1 2 3 4 5 6
        const n: float[3,6] ~ 6
        const flat: float[5,144] ~ 7
        const low: float[] = 0
        const high: float[] = 6
        """;

    private static Model Parse(string rest) => GraphText.Parse($"{Constants}\n{rest}");

    private static CrossLayerEqualization Of(Model model) => CrossLayerEqualization.Of(model.Graph, _ => true);

    [Theory]
    [InlineData("h = Conv(x, a, ab) @a\nr = Relu(h)\ny = Conv(r, c) @c\nout y", "a c")]
    [InlineData("h = Conv(x, a) @a\nr = LeakyRelu(h) alpha=0.3\nk = Conv(r, d, db) @d group=4 pads=[1,1,1,1]\np = PRelu(k, slope)\ny = Conv(p, c) @c\nout y", "a d,d c")]
    [InlineData("h = Conv(x, a, ab) @a pads=[1,1,1,1]\nq = MaxPool(h) kernel_shape=[2,2] strides=[2,2]\ny = Conv(q, g) @g group=2\nout y", "a g")]
    [InlineData("h = Conv(x, a, ab) @a\nr = Relu(h)\nv = AveragePool(r) kernel_shape=[3,3] pads=[1,1,1,1]\np = GlobalAveragePool(v)\nf = Flatten(p)\nk = Gemm(f, m, mb) @m alpha=0.5 beta=2.0\ns = Relu(k)\ny = Gemm(s, n) @n transB=1\nout y", "a m,m n")]
    public void Changes_no_output_and_makes_ranges_equal(string rest, string pairs)
    {
        var model = Parse(rest);
        var before = OnnxFile.ToBytes(model);
        var equalization = Of(model);
        Assert.Equal(pairs, string.Join(',', equalization.Pairs.Select(p => $"{p.First.Name} {p.Second.Name}")));
        equalization.Apply(null);
        var after = OnnxFile.ToBytes(model);
        var inputs = Oracle.Inputs(before, 3);
        Oracle.AssertClose(Oracle.Run(before, inputs), Oracle.Run(after, inputs), 1e-5f, 1e-5f);
        foreach (var (first, second) in equalization.Pairs)
        {
            var (outputs, columns) = (Largest(first, byOutput: true), Largest(second, byOutput: false));
            Assert.All(outputs.Zip(columns), p => Assert.InRange(p.First / p.Second, 0.99, 1.01));
        }
    }

    [Fact]
    public void Fills_the_grid_of_the_activation_by_activations()
    {
        // A depthwise Conv has a scale for each channel, so all channels of what it reads become equally large; a Conv's rows are shared, so a channel becomes what its column takes of them.
        var model = Parse("h = Conv(x, a, ab) @a\nr = Relu(h)\nk = Conv(r, d, db) @d group=4\ns = Relu(k)\ny = Conv(s, c) @c\nout y");
        var before = OnnxFile.ToBytes(model);
        var equalization = Of(model);
        var seen = new Dictionary<string, double[]> { ["d"] = [1, 20, 0.5, 0], ["c"] = [4, 8, 2, 1] };
        equalization.Apply(n => seen[n.Name]);
        var inputs = Oracle.Inputs(before, 4);
        Oracle.AssertClose(Oracle.Run(before, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 1e-5f, 1e-5f);
        var original = OnnxFile.Read(before).Graph;
        double Factor(string weight, int rows, int channel) => Scale(original.Find(weight)!, model.Graph.Find(weight)!, rows, channel);
        // A channel that was never seen above 0 stays as it was.
        Assert.Equal([1, 20, 0.5, 1], Enumerable.Range(0, 4).Select(i => Math.Round(Factor("a", 4, i), 1)));
        var last = model.Graph.Find("y")!.Producer!;
        var w = last.Input(1)!.Constant!.As<float>().ToArray();
        for (var i = 0; i < 3; i++)
        {
            // d's row was multiplied with what a's was divided by, and divided by what c's column is multiplied with.
            var share = Enumerable.Range(0, 5).Max(o => Math.Abs(w[(o * 4) + i]) / Enumerable.Range(0, 4).Max(j => Math.Abs(w[(o * 4) + j])));
            Assert.Equal(share, seen["c"][i] / (Factor("d", 4, i) * Factor("a", 4, i)), 0.02);
        }
    }

    [Theory]
    [InlineData("h = Conv(x, a, ab)\nr = Clip(h, low, high)\ny = Conv(r, c)\nout y")]
    [InlineData("h = Conv(x, a, ab)\nr = Sigmoid(h)\ny = Conv(r, c)\nout y")]
    [InlineData("h = Conv(x, a, ab)\nr = Relu(h)\ny = Conv(r, c)\nout y\nout r")]
    [InlineData("h = Conv(x, a, ab)\nr = Relu(h)\ny = Conv(r, c)\nz = Abs(r)\nout y\nout z")]
    [InlineData("h = Conv(x, a, ab)\nr = Relu(h)\ny = Conv(r, c)\nz = Conv(r, c)\nout y\nout z")]
    [InlineData("h = Conv(x, a, ab)\nk = Add(h, h)\ny = Conv(k, c)\nout y")]
    [InlineData("h = Conv(x, a, ab)\nr = Relu(h)\ny = Conv(r, c)\nout y\nz = Abs(c)\nout z")]
    [InlineData("h = Conv(x, a, ab)\nr = Relu(h)\ny = Conv(r, c)\nz = Abs(ab)\nout y\nout z")]
    [InlineData("h = Conv(x, a)\nf = Flatten(h)\ny = Gemm(f, flat) transB=1\nout y")]
    [InlineData("h = Conv(x, a)\nr = PRelu(h, h)\ny = Conv(r, c)\nout y")]
    public void Forms_no_pair_where_that_would_change_something(string rest) => Assert.Empty(Of(Parse(rest)).Pairs);

    [Fact]
    public void Leaves_alone_what_may_not_change()
    {
        var model = Parse("h = Conv(x, a, ab) @a\nr = Relu(h)\nk = Conv(r, d) @d group=4\ny = Conv(k, c) @c\nout y");
        Assert.Equal(["a"], CrossLayerEqualization.Of(model.Graph, n => n.Name != "c").Pairs.Select(p => p.First.Name));
        Assert.Empty(CrossLayerEqualization.Of(model.Graph, n => n.Name != "d").Pairs);
    }

    private static double[] Largest(Node node, bool byOutput)
    {
        var tensor = node.Input(1)!.Constant!;
        var values = tensor.As<float>().ToArray();
        var rowsFirst = node.Is("Conv") || node.Int("transB", 0) != 0;
        var (rows, columns) = (tensor.Shape[0], tensor.Shape[1]);
        var run = values.Length / (rows * columns);
        var group = node.Int("group", 1);
        var result = new SortedDictionary<long, double>();
        for (var i = 0; i < values.Length; i++)
        {
            var (row, column) = (i / run / columns, i / run % columns);
            var channel = byOutput == rowsFirst ? row : rowsFirst ? column + (row / (rows / group) * columns) : column;
            result[channel] = Math.Max(result.GetValueOrDefault(channel), Math.Abs(values[i]));
        }
        return [.. result.Values];
    }

    /// <summary>What a row was divided by.</summary>
    private static double Scale(Value before, Value after, int rows, int row)
    {
        var place = before.Constant!.As<float>().Length / rows * row;
        return before.Constant!.As<float>()[place] / (double)after.Constant!.As<float>()[place];
    }
}
