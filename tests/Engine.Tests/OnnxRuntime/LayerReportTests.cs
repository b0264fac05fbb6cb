using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

public sealed class LayerReportTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private int _runs;

    public void Dispose() => _folder.Dispose();

    private Dataset Samples(int[] shape, params float[] values) =>
        Dataset.Open(_folder.Write($"samples-{_runs++}/x.npy", ArrayWriter.Npy("<f4", shape, values)));

    private static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 4) - 2)];
    }

    private (byte[] Original, byte[] Quantized, JsonObject Report) Quantized(string graph, Dataset dataset, string options = "{}")
    {
        var original = OnnxFile.ToBytes(GraphText.Parse(graph, 13));
        var result = new Quantize().Transform(
            new TransformRequest
            {
                InputPath = _folder.Write($"model-{_runs++}.onnx", original),
                InputKind = "onnx",
                WorkFolder = _folder.Folder($"run-{_runs++}"),
                Options = JsonDocument.Parse(options).RootElement,
                Datasets = new Dictionary<string, Dataset> { ["calibrate"] = dataset },
            },
            new Progress<TransformProgress>(),
            TestContext.Current.CancellationToken);
        return (original, File.ReadAllBytes(result.OutputPath!), result.Report);
    }

    private static JsonObject Layer(JsonObject report, string node) => report["quantized"]!.AsArray().Single(q => q!["node"]!.GetValue<string>() == node)!.AsObject();

    private static double Number(JsonNode? node) => node!.GetValue<double>();

    [Fact]
    public void Measures_how_far_a_layers_output_lies_from_the_float_networks()
    {
        // Weights of 1 are exact, so what the layer gives is its input on a grid of steps of 0.02 from -2: 0.307 becomes 0.30, 1.011 becomes 1.02.
        const string graph = "in x: float[N,1]\nconst w: float[1,1] = 1\ny = Gemm(x, w) @g\nout y";
        var (_, _, report) = Quantized(graph, Samples([4, 1], -2, 0.307f, 1.011f, 3.1f), """{"calibration":"min-max"}""");
        var signal = 4 + (0.307 * 0.307) + (1.011 * 1.011) + (3.1 * 3.1);
        var noise = (0.007 * 0.007) + (0.009 * 0.009);
        Assert.Equal(10 * Math.Log10(signal / noise), Number(Layer(report, "g")["outputSqnrDb"]), 0.02);
    }

    [Fact]
    public void Gives_each_layer_the_error_of_all_before_it()
    {
        const string first = "in x: float[N,8]\nconst w1: float[8,8] ~ 1\nconst b1: float[8] ~ 4\na = Gemm(x, w1, b1) @first\nr = Relu(a)\n";
        var data = Samples([8, 8], Values(64, 3));
        var (original, quantized, report) = Quantized(first + "const w2: float[8,4] ~ 2\ny = Gemm(r, w2) @last\nout y", data);
        var whole = Evaluation.Measure(quantized, data, Metric.Sqnr, original, cancellation: TestContext.Current.CancellationToken).Value;
        Assert.Equal(whole, Number(Layer(report, "last")["outputSqnrDb"]), 0.05);

        // The first layer alone: what the rounded network holds where the float one holds the Relu's output.
        var model = OnnxFile.Read(quantized);
        var last = model.Graph.Nodes.Single(n => n.Name == "last");
        model.Graph.Replace(model.Graph.Find("y")!, last.Input(0)!);
        model.Graph.RemoveUnused();
        var inner = Evaluation.Measure(OnnxFile.ToBytes(model), data, Metric.Sqnr, OnnxFile.ToBytes(GraphText.Parse(first + "y = Identity(r)\nout y", 13)), cancellation: TestContext.Current.CancellationToken).Value;
        Assert.Equal(inner, Number(Layer(report, "first")["outputSqnrDb"]), 0.05);
        Assert.NotEqual(whole, inner, 0.05);
    }

    [Fact]
    public void Says_how_much_of_what_was_seen_is_clipped()
    {
        // 99 values from 0 to 0.98 and one of 100, which a range of 98 % leaves out.
        const string graph = "in x: float[N,1]\nconst w: float[1,1] = 1\nconst v: float[1,1] = 1\na = Gemm(x, w) @first\nr = Relu(a)\ny = Gemm(r, v) @last\nout y";
        var data = Samples([100, 1], [.. Enumerable.Range(0, 99).Select(i => i / 100f), 100f]);
        var (_, _, clipped) = Quantized(graph, data, """{"calibration":"percentile","percentile":98}""");
        Assert.Equal(0.01, Number(Layer(clipped, "first")["clippedMass"]), 1e-6);
        Assert.Null(Layer(clipped, "last")["clippedMass"]);
        Assert.Equal([0.01, 0.01], clipped["tensors"]!.AsArray().Select(t => Math.Round(Number(t!["clippedMass"]), 6)));
        var histogram = clipped["tensors"]![0]!["histogram"]!.AsArray().Select(Number).ToArray();
        Assert.Equal((0.99, 0.01, 1), (histogram[0], histogram[^1], Math.Round(histogram.Sum(), 6)));

        var (_, _, whole) = Quantized(graph, data, """{"calibration":"min-max"}""");
        Assert.Equal(0, Number(Layer(whole, "first")["clippedMass"]));
    }

    [Fact]
    public void Says_how_many_bits_the_accumulator_has_left()
    {
        // Steps of 1/255 for the input and 1/127 for the weights: products sum to 2 * 127 * 255 at most, the bias is 2 * 255 * 127.
        const string graph = "in x: float[N,2]\nconst w: float[2,1] = 1 1\nconst b: float[1] = 2\ny = Gemm(x, w, b) @g\nout y";
        var (_, _, report) = Quantized(graph, Samples([2, 2], 0, 1, 1, 0), """{"calibration":"min-max"}""");
        Assert.Equal(31 - Math.Log2(4 * 127 * 255), Number(Layer(report, "g")["biasHeadroomBits"]), 0.01);
    }
}
