using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

public sealed class QuantizationSearchTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private int _runs;

    public void Dispose() => _folder.Dispose();

    /// <summary>
    /// The first product makes one column <paramref name="factor"/> times as large as the others, and the second does not read it: rounding what lies between them to one grid loses the others.
    /// The third carries nine tenths of the work.
    /// </summary>
    private static string Lopsided(int factor)
    {
        var first = string.Join(' ', Enumerable.Range(0, 16).Select(i => i % 5 != 0 ? "0" : i == 0 ? $"{factor}" : "1"));
        var second = string.Join(' ', Enumerable.Range(0, 4 * 24).Select(i => i < 24 ? "0" : $"{(i * 7 % 11) - 5}"));
        return $"""
            in x: float[N,4]
            const a: float[4,4] = {first}
            const b: float[4,24] = {second}
            const c: float[24,80] ~ 3
            h = Gemm(x, a) @widen
            g = Gemm(h, b) @hurt
            r = Relu(g)
            y = Gemm(r, c) @large
            out y
            """;
    }

    private Dataset Samples(int count, int width)
    {
        var random = new Random(9);
        float[] values = [.. Enumerable.Range(0, count * width).Select(_ => (random.NextSingle() * 2) - 1)];
        return Dataset.Open(_folder.Write($"samples-{_runs++}/x.npy", ArrayWriter.Npy("<f4", [count, width], values)));
    }

    private (double Sqnr, byte[] Bytes, JsonObject Report) Quantized(string graph, Dataset samples, string options)
    {
        var original = OnnxFile.ToBytes(GraphText.Parse(graph));
        var result = new Quantize().Transform(
            new TransformRequest
            {
                InputPath = _folder.Write($"model-{_runs}.onnx", original),
                InputKind = "onnx",
                WorkFolder = _folder.Folder($"run-{_runs++}"),
                Options = JsonDocument.Parse(options).RootElement,
                Datasets = new Dictionary<string, Dataset> { ["calibrate"] = samples },
            },
            new Progress<TransformProgress>(),
            TestContext.Current.CancellationToken);
        var bytes = File.ReadAllBytes(result.OutputPath!);
        return (Evaluation.Measure(bytes, samples, Metric.Sqnr, original, cancellation: TestContext.Current.CancellationToken).Value, bytes, result.Report);
    }

    [Fact]
    public void Leaves_float_what_hurts_and_says_what_that_gained()
    {
        var samples = Samples(12, 4);
        var without = Quantized(Lopsided(2000), samples, """{"calibration":"min-max"}""");
        var with = Quantized(Lopsided(2000), samples, "{}");
        Assert.InRange(without.Sqnr, -20, 10);
        Assert.InRange(with.Sqnr, 20, 200);
        var left = with.Report["leftFloat"]!.AsArray().Single()!;
        Assert.Equal(("hurt", "Gemm"), (left["node"]!.GetValue<string>(), left["operator"]!.GetValue<string>()));
        Assert.Matches("^measured on calibration data: left float, it brings the outputs from -?[0-9.]+ to [0-9.]+ dB$", left["reason"]!.GetValue<string>());
        Assert.Equal(["widen", "large"], with.Report["quantized"]!.AsArray().Select(q => q!["node"]!.GetValue<string>()));
        // 4 * 24 of 4 * 4 + 4 * 24 + 24 * 80 products.
        Assert.Equal(96 / 2032d, with.Report["search"]!["floatMacShare"]!.GetValue<double>(), 4);
        Assert.Single(with.Report["floatKernels"]!.AsArray());
    }

    [Fact]
    public void Leaves_nothing_float_where_integers_are_near_enough()
    {
        var (sqnr, _, report) = Quantized(Lopsided(2), Samples(12, 4), "{}");
        Assert.InRange(sqnr, QuantizationSearch.EnoughDecibels, 200);
        Assert.Empty(report["leftFloat"]!.AsArray());
    }

    [Fact]
    public void Leaves_nothing_float_beyond_a_fifth_of_the_work_while_the_outputs_are_usable()
    {
        var (sqnr, _, report) = Quantized(OnlyHurt(48), Samples(12, 4), """{"equalize":false}""");
        Assert.InRange(sqnr, QuantizationSearch.UsableDecibels, QuantizationSearch.EnoughDecibels);
        Assert.DoesNotContain(report["leftFloat"]!.AsArray(), l => l!["node"]!.GetValue<string>() == "hurt");
        Assert.Equal(["widen", "hurt"], report["quantized"]!.AsArray().Select(q => q!["node"]!.GetValue<string>()));
    }

    [Fact]
    public void Leaves_more_float_where_the_outputs_would_be_of_no_use()
    {
        var (sqnr, _, report) = Quantized(OnlyHurt(2000), Samples(12, 4), "{}");
        Assert.InRange(sqnr, QuantizationSearch.UsableDecibels, 200);
        // 4 * 24 of 4 * 4 + 4 * 24 products; the small one before it, which gained nothing, is integer.
        Assert.Equal(["hurt"], report["leftFloat"]!.AsArray().Select(l => l!["node"]!.GetValue<string>()));
        Assert.Equal(96 / 112d, report["search"]!["floatMacShare"]!.GetValue<double>(), 4);
    }

    /// <summary>Without the large product the one that hurts is five sixths of the work.</summary>
    private static string OnlyHurt(int factor) => Lopsided(factor).Replace("y = Gemm(r, c) @large", "y = Identity(r)", StringComparison.Ordinal);

    [Fact]
    public void Measures_the_error_that_comparing_the_networks_gives()
    {
        var samples = Samples(12, 4);
        var (sqnr, _, report) = Quantized(Lopsided(5), samples, "{}");
        // All 12 samples are measured on, in floats here and on integer kernels there.
        Assert.Equal(12, report["search"]!["feeds"]!.GetValue<int>());
        Assert.Equal(sqnr, report["search"]!["sqnrDb"]!.GetValue<double>(), 0.2);
        // As many feeds as that are measured once: the worst draw is the only one.
        Assert.Equal(report["search"]!["sqnrDb"]!.GetValue<double>(), report["search"]!["worstDrawSqnrDb"]!.GetValue<double>());
    }

    [Fact]
    public void Is_at_least_as_good_as_one_way_for_all_tensors()
    {
        const string graph = """
            in x: float[N,8]
            const a: float[8,16] ~ 1
            const b: float[16,16] ~ 2
            const c: float[16,4] ~ 3
            h = Gemm(x, a)
            r = Relu(h)
            g = Gemm(r, b)
            s = Sigmoid(g)
            y = Gemm(s, c)
            out y
            """;
        var samples = Samples(12, 8);
        var auto = Quantized(graph, samples, "{}").Sqnr;
        foreach (var method in new[] { "mse", "min-max" })
            Assert.InRange(Quantized(graph, samples, $$"""{"calibration":"{{method}}"}""").Sqnr, -200, auto + 0.1);
    }

    [Fact]
    public void Equalizes_channels_where_that_gains_and_not_where_it_is_told_not_to()
    {
        // One of eight channels is 60 times as large as the others, and is read with a weight of a sixtieth: on one grid, the others would have four steps.
        var first = string.Join(' ', Enumerable.Range(0, 32).Select(i => (((i * 7 % 13) - 6) * (i / 4 == 3 ? 60 : 1)).ToString(System.Globalization.CultureInfo.InvariantCulture)));
        var second = string.Join(' ', Enumerable.Range(0, 40).Select(i => (((i * 5 % 11) - 5) / (i % 8 == 3 ? 60f : 1)).ToString(System.Globalization.CultureInfo.InvariantCulture)));
        var graph = $"in x: float[N,4]\nconst a: float[8,4] = {first}\nconst ab: float[8] = 1 2 3 40 5 6 7 8\nconst b: float[5,8] = {second}\nh = Gemm(x, a, ab) @first transB=1\nr = Relu(h)\ny = Gemm(r, b) @second transB=1\nout y";
        var samples = Samples(12, 4);
        var (without, _, plain) = Quantized(graph, samples, """{"equalize":false}""");
        var (with, _, report) = Quantized(graph, samples, "{}");
        Assert.InRange(with - without, 10, 100);
        var equalization = report["search"]!["equalization"]!;
        Assert.InRange(equalization["gainDb"]!.GetValue<double>(), 10, 100);
        Assert.Equal(["first", "second"], equalization["pairs"]!.AsArray().Single()!.AsArray().Select(n => n!.GetValue<string>()));
        Assert.Null(plain["search"]!["equalization"]);
        Assert.Null(Quantized(graph, samples, """{"exclude":["second"]}""").Report["search"]!["equalization"]);
    }

    [Fact]
    public void Gives_back_what_rounding_shifts_on_average()
    {
        // All inputs are 0.3 or 0.7 and all weights lie above their nearest integer by up to half a step: every error has the same sign, and the sum of 16 of them is a shift.
        const string graph = """
            in x: float[N,16]
            const w: float[2,16] = 127 1.4 2.4 3.4 4.4 5.4 6.4 7.4 8.4 9.4 10.4 11.4 12.4 13.4 14.4 15.4 127 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4
            const b: float[2] = 10 -3
            y = Gemm(x, w, b) @g transB=1
            out y
            """;
        var samples = Dataset.Open(_folder.Write("shift/x.npy", ArrayWriter.Npy("<f4", [6, 16], [.. Enumerable.Range(0, 96).Select(i => i * 7 % 3 == 0 ? 0.3f : 0.7f)])));
        var corrected = Quantized(graph, samples, "{}");
        var plain = Quantized(graph, samples, """{"calibration":"mse"}""");
        Assert.InRange(corrected.Report["search"]!["biasCorrectionGainDb"]!.GetValue<double>(), 6, 100);
        Assert.InRange(corrected.Sqnr - plain.Sqnr, 6, 100);
        // The biases' integers, back on their grid: higher than the float bias by 0.4 * (mean of the 15 inputs), summed, for each channel.
        float[] Bias(byte[] bytes)
        {
            var node = OnnxFile.Read(bytes).Graph.Nodes.Single(n => n.Is("Gemm")).Input(2)!.Producer!;
            return [.. node.Input(0)!.Constant!.As<int>().ToArray().Zip(node.Input(1)!.Constant!.As<float>().ToArray(), (q, s) => q * s)];
        }
        var means = Enumerable.Range(0, 16).Select(c => Enumerable.Range(0, 6).Average(r => ((r * 16) + c) * 7 % 3 == 0 ? 0.3 : 0.7)).ToArray();
        var shift = 0.4 * means.Skip(1).Sum();
        // The rounding of the inputs, whose grid is 0.7 / 255, adds a little.
        Assert.Equal([10 + shift, -3 + shift], Bias(corrected.Bytes).Select(v => (double)v), new Within(0.25));
        Assert.Equal([10, -3], Bias(plain.Bytes).Select(v => (double)v), new Within(0.01));
    }

    [Fact]
    public void Gives_back_nothing_where_rounding_shifts_nothing()
    {
        // Integers throughout, on grids that hold them: there is no error to correct.
        const string graph = "in x: float[N,2]\nconst w: float[2,2] = 127 3 -127 5\nconst b: float[2] = 1 2\ny = Gemm(x, w, b) @g transB=1\nout y";
        var samples = Dataset.Open(_folder.Write("whole/x.npy", ArrayWriter.Npy<float>("<f4", [3, 2], 0, 255, 10, 20, 30, 40)));
        var (_, _, report) = Quantized(graph, samples, "{}");
        Assert.Null(report["search"]!["biasCorrectionGainDb"]);
    }

    private sealed class Within(double tolerance) : IEqualityComparer<double>
    {
        public bool Equals(double x, double y) => Math.Abs(x - y) <= tolerance;

        public int GetHashCode(double obj) => 0;
    }

    [Fact]
    public void Gives_the_same_bytes_again()
    {
        var samples = Samples(12, 4);
        Assert.Equal(Quantized(Lopsided(2000), samples, "{}").Bytes, Quantized(Lopsided(2000), samples, "{}").Bytes);
    }

    [Theory]
    [InlineData("yunet_n_320")]
    [InlineData("ultraface_rfb_320")]
    [InlineData("blazeface_front_128_nhwc")]
    public void Counts_the_work_that_the_shapes_tell(string network)
    {
        var path = SharedModels.Find($"unlabelled/{network}.onnx");
        var model = OnnxFile.Read(path);
        var golden = Dataset.Open(_folder.Write("golden.yaml", $"inputs:\n  \"{model.Graph.RequiredInputs.Single().Name}\": {{ file: \"{Path.ChangeExtension(path, ".golden.npz")}\", array: in_0 }}\n"));
        Assert.Equal(ModelCosts.Of(model).Macs, NodeWork.Measure(File.ReadAllBytes(path), golden, TestContext.Current.CancellationToken).Total);
    }
}
