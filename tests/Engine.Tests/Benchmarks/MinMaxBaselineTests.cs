using TinyMLaaS.Benchmarks.Engine;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Tests.Graphs;

namespace TinyMLaaS.Engine.Tests.Benchmarks;

public sealed class MinMaxBaselineTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private Model Quantized(string graph, params float[] values)
    {
        var data = Dataset.Open(_folder.Write("data/x.npy", ArrayWriter.Npy("<f4", [values.Length, 1], values)));
        var bytes = MinMaxBaseline.Quantize(OnnxFile.ToBytes(GraphText.Parse(graph)), data, TestContext.Current.CancellationToken);
        RuntimeSession.Open(bytes, cancellation: TestContext.Current.CancellationToken).Dispose();
        return OnnxFile.Read(bytes);
    }

    /// <summary>Scale and zero point of the QuantizeLinear nodes, by the tensor that they round.</summary>
    private static Dictionary<string, (double Scale, int Zero)> Grids(Model model) => model.Graph.Nodes.Where(n => n.Is("QuantizeLinear"))
        .ToDictionary(n => n.Name.Replace("_QuantizeLinear", "", StringComparison.Ordinal), n => (Math.Round(n.Input(1)!.Constant!.As<float>()[0], 6), (int)n.Input(2)!.Constant!.As<byte>()[0]));

    [Fact]
    public void Rounds_all_that_it_knows_from_the_smallest_to_the_largest_value()
    {
        // Inputs from -2 to 3.1, outputs from -19.4 to 31.6: 255 steps of 0.02 and 0.2, the 100th and 97th of which is 0. The output of the network is rounded too.
        var model = Quantized("in x: float[N,1]\nconst w: float[1,1] = 10\nconst b: float[1] = 0.6\ny = Gemm(x, w, b)\nout y", -2, 0.3f, 3.1f);
        Assert.Equal([("x", (0.02, 100)), ("y", (0.2, 97))], Grids(model).Select(g => (g.Key, g.Value)));
        var gemm = model.Graph.Nodes.Single(n => n.Is("Gemm"));
        Assert.Equal(127, gemm.Input(1)!.Producer!.Input(0)!.Constant!.As<sbyte>()[0]);
        // 0.6 on the grid of 0.02 * 10 / 127.
        Assert.Equal(381, gemm.Input(2)!.Producer!.Input(0)!.Constant!.As<int>()[0]);
        Assert.Equal("y", model.Graph.Outputs.Single().Name);
    }

    [Fact]
    public void Gives_each_input_of_a_concat_a_scale_of_its_own_and_passes_one_on_through_a_transpose()
    {
        const string graph = """
            in x: float[N,1]
            const w: float[1,1] = 10
            const half: float[1] = 2
            g = Gemm(x, w)
            r = Relu(g)
            c = Concat(x, r) axis=1
            t = Transpose(c) perm=[1,0]
            d = Div(t, half)
            out d
            """;
        var grids = Grids(Quantized(graph, -1, 2, 4.1f));
        // The Relu is gone, its range taken over by the Gemm; the Div is none that it knows.
        Assert.Equal((Math.Round(5.1 / 255, 6), 50), grids["x"]);
        Assert.Equal((Math.Round(41 / 255d, 6), 0), grids["g"]);
        Assert.Equal((Math.Round(42 / 255d, 6), 6), grids["c"]);
        Assert.Equal(grids["c"], grids["t"]);
        Assert.Equal(4, grids.Count);
    }

    [Fact]
    public void Makes_networks_of_the_shapes_that_it_says()
    {
        var (resnet, mobilenet) = (OnnxFile.Read(GeneratedNetworks.ResNet50(1)), OnnxFile.Read(GeneratedNetworks.MobileNetV2(1)));
        // Parameters as torchvision counts them, running means and variances added; multiply-accumulates of its documentation.
        Assert.Equal(25_557_032 + (2 * 26_560), ModelCosts.Of(resnet).Parameters);
        Assert.Equal(3_504_872 + (2 * 17_056), ModelCosts.Of(mobilenet).Parameters);
        Assert.InRange(ModelCosts.Of(resnet).Macs!.Value / 1e9, 4.08, 4.12);
        Assert.InRange(ModelCosts.Of(mobilenet).Macs!.Value / 1e9, 0.29, 0.32);
    }
}
