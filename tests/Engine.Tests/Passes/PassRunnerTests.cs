using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Tests.Graphs;

namespace TinyMLaaS.Engine.Tests.Passes;

public sealed class PassRunnerTests
{
    [Fact]
    public void Names_the_pass_that_broke_the_graph_and_those_before_it()
    {
        var model = GraphText.Parse("in x: float[2]\na = Relu(x)\nb = Neg(a)\nout b");

        var broken = Assert.Throws<InvalidOperationException>(() => PassRunner.Run(model, [new FoldConstants(), new Breaker(), new RemoveDeadCode()], PassContext.Default));

        Assert.Contains("Pass breaker (after fold-constants)", broken.Message, StringComparison.Ordinal);
        Assert.Contains("reads 'a' before it is made", broken.Message, StringComparison.Ordinal);
    }

    // The seeds stand for graphs of Conv, Gemm, MatMul, BatchNormalization, Add, Relu, Identity, Dropout and constants, with outputs and shared weights at random.
    [Theory]
    [MemberData(nameof(Seeds))]
    public void Random_graphs_give_the_same_before_and_after(int seed)
    {
        var text = RandomGraph(new Random(seed));
        var original = OnnxFile.ToBytes(GraphText.Parse(text));
        var model = GraphText.Parse(text);
        foreach (var pass in FusePasses.All)
        {
            var before = GraphText.Dump(model);
            var result = Assert.Single(PassRunner.Run(model, [pass], PassContext.Default));
            Assert.Equal(before != GraphText.Dump(model), result.IsModified);
        }

        var inputs = Oracle.Inputs(original, seed);
        // Values stay within some hundreds; a dozen layers of float error stay far below 1e-4 of that, and a wrong fold far above.
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 1e-4f, 1e-3f);
    }

    public static IEnumerable<TheoryDataRow<int>> Seeds => Enumerable.Range(0, 60).Select(s => new TheoryDataRow<int>(s));

    private static string RandomGraph(Random random)
    {
        var isImage = random.Next(2) == 0;
        var text = new System.Text.StringBuilder(isImage ? "in x: float[1,4,6,6]\n" : "in x: float[3,4]\n");
        text.Append("const g: float[4] = 0.5 -1 1.5 0.25\nconst b: float[4] = 1 -1 0.5 0\nconst v: float[4] = 1 0.5 2 4\n");
        text.Append("const c: float[4] = 1 2 -1 0.5\nconst s: float[] = 0.75\nconst r: float[1,4] = 1 2 3 4\nconst k: float[4,1,1] = 4 3 2 1\n");
        for (var i = 0; i < 3; i++)
        {
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"const cw{i}: float[4,4,1,1] ~ {random.Next(99)}\nconst dw{i}: float[4,1,3,3] ~ {random.Next(99)}\nconst mw{i}: float[4,4] ~ {random.Next(99)}\n");
        }
        var values = new List<string> { "x" };
        var count = random.Next(3, 14);
        for (var i = 0; i < count; i++)
        {
            // Mostly the newest value, so that patterns form; sometimes an older one, so that they are disturbed.
            var from = random.Next(5) == 0 ? values[random.Next(values.Count)] : values[^1];
            var weight = random.Next(3);
            var operation = random.Next(9) switch
            {
                0 => $"BatchNormalization({from}, g, b, c, v)",
                1 => $"Identity({from})",
                2 => $"Dropout({from})",
                3 => $"Relu({from})",
                4 => $"Add({from}, {values[random.Next(values.Count)]})",
                5 => isImage ? $"Add(k, {from})" : $"Add({from}, {(random.Next(2) == 0 ? "c" : "r")})",
                6 => isImage ? $"Conv({from}, dw{weight}, b) group=4 pads=[1,1,1,1]" : $"Gemm({from}, mw{weight}, {(random.Next(2) == 0 ? "c" : "s")}) transB={random.Next(2)} alpha=0.5 beta=0.25",
                7 => isImage ? $"ConvTranspose({from}, cw{weight})" : $"Gemm({from}, mw{weight})",
                _ => isImage ? $"Conv({from}, cw{weight})" : $"MatMul({from}, mw{weight})",
            };
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"n{i} = {operation}\n");
            values.Add($"n{i}");
        }
        text.Append(System.Globalization.CultureInfo.InvariantCulture, $"out n{count - 1}\n");
        if (count > 4 && random.Next(3) == 0)
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"out n{random.Next(count - 1)}\n");
        return text.ToString();
    }

    private sealed class Breaker : Pass
    {
        public override string Name => "breaker";

        public override PassResult Apply(Model model, PassContext context)
        {
            model.Graph.MoveBefore(model.Graph.Last!, model.Graph.First!);
            return new PassResult { IsModified = true };
        }
    }
}
