using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Quantization;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

public sealed class QuantizeTests : IDisposable
{
    // A residual block as exports have it: Conv-Relu, Conv-Clip, Add-Relu, pooling, Gemm with a 1xN bias and a Softmax.
    private const string Residual = """
        in x: float[N,3,8,8]
        const w1: float[4,3,3,3] ~ 1
        const b1: float[4] = 0.5 -0.5 1 0
        const w2: float[4,4,3,3] ~ 2
        const w3: float[5,4] ~ 3
        const b3: float[1,5] = 1 2 3 4 5
        const low: float[] = 0
        const high: float[] = 6
        a = Conv(x, w1, b1) @first pads=[1,1,1,1]
        ar = Relu(a)
        b = Conv(ar, w2) @second pads=[1,1,1,1]
        bc = Clip(b, low, high)
        s = Add(ar, bc)
        sr = Relu(s)
        p = GlobalAveragePool(sr)
        f = Flatten(p)
        g = Gemm(f, w3, b3) @last transB=1
        y = Softmax(g)
        out y
        """;

    private static readonly string[] FloatOperators = ["Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"];

    private readonly TemporaryFolder _folder = new();
    private int _runs;

    public void Dispose() => _folder.Dispose();

    private static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 4) - 2)];
    }

    private Dataset Samples(int count, params int[] shape)
    {
        var size = shape.Aggregate(1, (a, b) => a * b);
        return Dataset.Open(_folder.Write($"samples-{_runs++}/x.npy", ArrayWriter.Npy("<f4", [count, .. shape], Values(count * size, 5))));
    }

    private TransformResult Transform(string path, Dataset? dataset, string options = "{}", CancellationToken? cancellation = null) => new Quantize().Transform(
        new TransformRequest
        {
            InputPath = path,
            InputKind = "onnx",
            WorkFolder = _folder.Folder($"run-{_runs++}"),
            Options = JsonDocument.Parse(options).RootElement,
            Datasets = dataset is null ? new Dictionary<string, Dataset>() : new Dictionary<string, Dataset> { ["calibrate"] = dataset },
        },
        new Progress<TransformProgress>(),
        cancellation ?? TestContext.Current.CancellationToken);

    private (byte[] Original, byte[] Quantized, JsonObject Report) TransformText(string graph, Dataset dataset, string options = "{}", long opset = 13)
    {
        var original = OnnxFile.ToBytes(GraphText.Parse(graph, opset));
        var result = Transform(_folder.Write($"model-{_runs++}.onnx", original), dataset, options);
        return (original, File.ReadAllBytes(result.OutputPath!), result.Report);
    }

    private string[] Kernels(byte[] model) => [.. IntegerKernels.Rewritten(model, _folder.Path).Graph.Nodes.Select(n => n.OpType)];

    private static double Sqnr(byte[] original, byte[] quantized, Dataset dataset) =>
        Evaluation.Measure(quantized, dataset, Metric.Sqnr, original, cancellation: TestContext.Current.CancellationToken).Value;

    [Theory]
    [InlineData("ic_cifar10_resnet8", Metric.Top1, 103_805, 26)]
    [InlineData("kws_speechcommands_dscnn", Metric.Top1, 49_183, 28)]
    [InlineData("ad_toycar_autoencoder", Metric.AucMse, 332_121, 39)]
    [InlineData("vww_person_mobilenetv1", Metric.Top1, 309_178, 25.5)]
    [InlineData("mnist_cnn_cntk", Metric.Top1, 13_619, 41)]
    [InlineData("mnist_mlp_bn_pytorch", Metric.Top1, 61_373, 42.5)]
    [InlineData("hand_keypoint_mlp", Metric.Top1, 5_059, 39)]
    public void Keeps_the_accuracy_of_real_networks_on_integer_kernels_alone(string task, Metric metric, int incumbentBytes, double leastSqnr)
    {
        var original = File.ReadAllBytes(LabelledTask.Network(task));
        var test = LabelledTask.Data(task, "test", _folder);
        var result = Transform(LabelledTask.Network(task), LabelledTask.Data(task, "calibrate", _folder));
        var quantized = File.ReadAllBytes(result.OutputPath!);
        var before = Evaluation.Measure(original, test, metric, cancellation: TestContext.Current.CancellationToken);
        var after = Evaluation.Measure(quantized, test, metric, cancellation: TestContext.Current.CancellationToken);
        // Two samples are what chance decides on small sets.
        Assert.InRange(before.Value - after.Value, -1, Math.Max(0.003, 2.0 / before.Samples) + 1e-9);
        // The bounds lie 1 dB and more below what was measured, which kernels of another machine may cost.
        Assert.InRange(Sqnr(original, quantized, test), leastSqnr, 200);
        Assert.InRange(quantized.Length, 1, incumbentBytes);
        Assert.DoesNotContain(Kernels(quantized), FloatOperators.Contains);
        Assert.Empty(result.Report["leftFloat"]!.AsArray());
        Assert.Empty(result.Report["floatKernels"]!.AsArray());
    }

    [Fact]
    public void Puts_a_residual_network_on_integer_kernels_and_keeps_its_interface()
    {
        var samples = Samples(16, 3, 8, 8);
        var (original, quantized, report) = TransformText(Residual, samples);
        Assert.InRange(Sqnr(original, quantized, samples), 30, 200);
        var kernels = Kernels(quantized);
        Assert.Equal((2, 1, 1), (kernels.Count(k => k == "QLinearConv"), kernels.Count(k => k == "QLinearAdd"), kernels.Count(k => k == "QGemm")));
        Assert.DoesNotContain(kernels, k => FloatOperators.Contains(k) || k is "Relu" or "Clip");
        var model = OnnxFile.Read(quantized);
        Assert.Equal(["x"], model.Graph.Inputs.Select(i => i.Name));
        Assert.Equal(["y"], model.Graph.Outputs.Select(o => o.Name));
        Assert.DoesNotContain(model.Graph.Nodes, n => n.OpType is "Relu" or "Clip");
        Assert.Equal(["first", "second", "last"], report["quantized"]!.AsArray().Select(q => q!["node"]!.GetValue<string>()));
        Assert.Equal(16, report["calibration"]!["samples"]!.GetValue<int>());
        Assert.Equal(original.Length, report["before"]!["bytes"]!.GetValue<int>());
        Assert.Equal(quantized.Length, report["after"]!["bytes"]!.GetValue<int>());
        Assert.Equal(report["before"]!["macs"]!.GetValue<long>(), report["after"]!["macs"]!.GetValue<long>());
    }

    [Fact]
    public void Rounds_activations_to_the_range_that_calibration_saw()
    {
        // Identity weights, so that the output is the rounded input: 255 steps from -2 to the largest value.
        const string graph = "in x: float[N,1]\nconst w: float[1,1] = 1\ny = Gemm(x, w) @g\nout y";
        var data = Dataset.Open(_folder.Write("grid/x.npy", ArrayWriter.Npy<float>("<f4", [3, 1], -2, 0.3f, 3.1f)));
        var (_, quantized, report) = TransformText(graph, data, """{"calibration":"min-max"}""");
        var tensor = report["tensors"]!.AsArray().Single()!;
        Assert.Equal(("x", "uint8", 100, 0.02), (tensor["name"]!.GetValue<string>(), tensor["type"]!.GetValue<string>(), tensor["zeroPoint"]!.GetValue<int>(), Math.Round((double)tensor["scale"]!.GetValue<float>(), 8)));
        using var session = RuntimeSession.Open(quantized, cancellation: TestContext.Current.CancellationToken);
        float Run(float x) => session.Run([Tensor.From<float>([1, 1], [x])])[0].As<float>()[0];
        Assert.Equal([-2f, 0.3f, 3.1f, 3.1f, 0.02f], new[] { -9f, 0.3f, 3.1f, 9f, 0.021f }.Select(x => MathF.Round(Run(x), 4)));
    }

    [Theory]
    [InlineData("min-max")]
    [InlineData("percentile")]
    [InlineData("mse")]
    [InlineData("entropy")]
    [InlineData("moving-average")]
    public void Chooses_the_range_as_asked(string method)
    {
        // Cubes have tails that most ways cut, each at another place.
        float[] values = [.. Values(3000, 8).Select(v => v * v * v)];
        var data = Dataset.Open(_folder.Write("range/x.npy", ArrayWriter.Npy("<f4", [values.Length / 2, 2], values)));
        var (_, _, report) = TransformText("in x: float[N,2]\nconst w: float[2,2] = 1 0 0 1\ny = Gemm(x, w) @g\nout y", data, $$"""{"calibration":"{{method}}","percentile":95}""");
        var statistics = new TensorStatistics();
        foreach (var feed in values.Chunk(2))
            statistics.Add(feed);
        var (minimum, maximum) = method switch
        {
            "min-max" => (values.Min(), values.Max()),
            "percentile" => PercentileRange.Of(statistics, 95),
            "mse" => RangeSearch.LeastSquares(statistics),
            "entropy" => EntropyRange.Of(statistics),
            _ => statistics.MovingRange,
        };
        var tensor = report["tensors"]!.AsArray().Single()!;
        Assert.Equal(method, tensor["method"]!.GetValue<string>());
        // Rounding the zero point moves the ends by up to half a step.
        var step = tensor["scale"]!.GetValue<float>();
        Assert.Equal(maximum - minimum, step * 255d, 1e-4);
        Assert.InRange(tensor["maximum"]!.GetValue<double>(), maximum - (step * 0.51), maximum + (step * 0.51));
        Assert.Equal(method is "percentile" or "entropy" or "moving-average", maximum < values.Max());
    }

    [Fact]
    public void Keeps_weights_within_7_bits_if_asked()
    {
        // Two products of the largest activation, 255, and the largest weight must stay within 16 bits: 2 * 255 * 64 = 32,640, and 65 would be too much.
        var samples = Samples(16, 3, 8, 8);
        int Largest(string options, out double sqnr)
        {
            var (original, quantized, _) = TransformText(Residual, samples, options);
            sqnr = Sqnr(original, quantized, samples);
            return OnnxFile.Read(quantized).Graph.Initializers.Where(i => i.Constant!.Type == ElementType.Int8).Max(i => i.Constant!.As<sbyte>().ToArray().Max(v => Math.Abs((int)v)));
        }
        Assert.Equal(64, Largest("""{"reduced-range":true}""", out var reduced));
        Assert.Equal(127, Largest("{}", out var full));
        Assert.InRange(reduced, 26, full);
    }

    [Fact]
    public void Keeps_a_relu6_within_6_and_gives_it_to_the_rounding()
    {
        const string graph = """
            in x: float[N,1,2,2]
            const w: float[1,1,1,1] = 10
            const v: float[1,1,1,1] = 1
            const low: float[] = 0
            const high: float[] = 6
            a = Conv(x, w) @a
            b = Clip(a, low, high) @clip
            y = Conv(b, v) @y
            out y
            """;
        var (_, quantized, report) = TransformText(graph, Samples(32, 1, 2, 2), """{"calibration":"min-max"}""");
        var clipped = report["tensors"]!.AsArray().Single(t => t!["name"]!.GetValue<string>() == "b")!;
        Assert.Equal((0, 6.0), (clipped["zeroPoint"]!.GetValue<int>(), Math.Round(clipped["maximum"]!.GetValue<double>(), 5)));
        Assert.Equal(2, Kernels(quantized).Count(k => k == "QLinearConv"));
    }

    [Fact]
    public void Gives_all_inputs_of_a_concat_one_grid()
    {
        const string graph = """
            in x: float[N,2,4,4]
            const w1: float[2,2,1,1] = 1 2 3 4
            const w2: float[2,2,1,1] = 10 20 -30 40
            const w3: float[1,4,1,1] = 1 1 1 1
            a = Conv(x, w1) @a
            b = Conv(x, w2) @b
            c = Concat(a, b) axis=1
            m = MaxPool(c) kernel_shape=[2,2]
            y = Conv(m, w3) @y
            out y
            """;
        var samples = Samples(16, 2, 4, 4);
        var (original, quantized, report) = TransformText(graph, samples);
        var scales = report["tensors"]!.AsArray().Where(t => t!["name"]!.GetValue<string>() is "a" or "b" or "c" or "m").Select(t => t!["scale"]!.GetValue<float>()).ToArray();
        Assert.Equal((4, 1), (scales.Length, scales.Distinct().Count()));
        Assert.Equal(3, Kernels(quantized).Count(k => k == "QLinearConv"));
        Assert.InRange(Sqnr(original, quantized, samples), 25, 200);
    }

    [Fact]
    public void Folds_batch_normalization_and_upgrades_an_old_opset_by_itself()
    {
        const string graph = """
            in x: float[1,2,4,4]
            const w: float[3,2,3,3] ~ 1
            const g: float[3] = 1 2 3
            const v: float[3] = 1 0.5 2
            c = Conv(x, w) @c
            n = BatchNormalization(c, g, g, g, v)
            y = Relu(n)
            out y
            """;
        var samples = Samples(16, 2, 4, 4);
        var (original, quantized, _) = TransformText(graph, samples, opset: 9);
        Assert.Equal(13, OnnxFile.Read(quantized).Opset);
        Assert.Contains("QLinearConv", Kernels(quantized));
        Assert.InRange(Sqnr(original, quantized, samples), 30, 200);
    }

    [Fact]
    public void Quantizes_weights_that_an_old_exporter_lists_among_the_inputs()
    {
        const string graph = "in x: float[N,4]\nin w: float[4,3]\nconst w: float[4,3] ~ 1\ny = Gemm(x, w) @g\nout y";
        var (_, quantized, report) = TransformText(graph, Samples(8, 4));
        Assert.Equal(["w"], report["noLongerInputs"]!.AsArray().Select(n => n!.GetValue<string>()));
        Assert.Equal(["x"], OnnxFile.Read(quantized).Graph.Inputs.Select(i => i.Name));
        Assert.DoesNotContain(Kernels(quantized), FloatOperators.Contains);
    }

    [Theory]
    [InlineData("const zero: float[1] = 0\nr = Abs(x)\nm = MatMul(r, w) @m\ny = Add(m, b)\nout y")]
    [InlineData("m = MatMul(x, w) @m\ny = Add(m, b)\nk = Identity(m)\nout k\nout y")]
    public void Puts_a_product_and_the_constant_added_to_it_on_integer_kernels(string rest)
    {
        var (_, quantized, report) = TransformText($"in x: float[N,4]\nconst w: float[4,3] ~ 1\nconst b: float[3] = 1 2 3\n{rest}", Samples(8, 4));
        Assert.Single(report["quantized"]!.AsArray());
        Assert.DoesNotContain(Kernels(quantized), FloatOperators.Contains);
    }

    [Fact]
    public void Leaves_what_lies_after_the_last_weights_exact()
    {
        // The Softmax reads the Gemm's float output: only the Gemm's input is rounded.
        const string graph = "in x: float[N,4]\nconst w: float[4,3] ~ 1\ng = Gemm(x, w) @g\ny = Softmax(g)\nout y";
        var (_, _, report) = TransformText(graph, Samples(8, 4));
        Assert.Equal(["x"], report["tensors"]!.AsArray().Select(t => t!["name"]!.GetValue<string>()));
    }

    [Fact]
    public void Leaves_excluded_and_unsuitable_operators_float_and_says_why()
    {
        const string graph = """
            in x: float[N,4]
            const w: float[4,4] ~ 1
            const t: float[1,2,4,4] ~ 2
            a = MatMul(x, w) @kept
            b = Transpose(a)
            c = MatMul(a, b) @both
            d = Gemm(a, w) @done
            out c
            out d
            """;
        var (_, quantized, report) = TransformText(graph, Samples(8, 4), """{"exclude":["kept"]}""");
        Assert.Equal(["kept: excluded by option", "both: both operands are activations"], report["leftFloat"]!.AsArray().Select(l => $"{l!["node"]}: {l["reason"]}"));
        Assert.Equal(["done"], report["quantized"]!.AsArray().Select(q => q!["node"]!.GetValue<string>()));
        Assert.Equal(2, Kernels(quantized).Count(FloatOperators.Contains));
        Assert.Equal(2, report["floatKernels"]!.AsArray().Count);
    }

    [Fact]
    public void Raises_the_scale_of_weights_whose_bias_would_leave_the_accumulator_no_room()
    {
        // Inputs of a thousandth and a bias of a thousand: on the grid of scale(x) * scale(w) it would be 3e12.
        const string graph = "in x: float[N,2]\nconst w: float[2,2] = 0.01 0.02 1 2\nconst b: float[2] = 1000 0.001\ny = Gemm(x, w, b) @g transB=1\nout y";
        var data = Dataset.Open(_folder.Write("bias/x.npy", ArrayWriter.Npy<float>("<f4", [2, 2], 0.001f, 0.0005f, 0.0002f, 0.0008f)));
        var (original, quantized, report) = TransformText(graph, data, """{"calibration":"min-max"}""");
        Assert.Equal(1, report["quantized"]!.AsArray().Single()!["raisedScales"]!.GetValue<int>());
        var bias = OnnxFile.Read(quantized).Graph.Nodes.Single(n => n.Is("Gemm")).Input(2)!.Producer!.Input(0)!.Constant!.As<int>().ToArray();
        Assert.InRange(bias[0], 1 << 29, 1 << 30);
        Assert.InRange(Sqnr(original, quantized, data), 60, 200);
    }

    [Fact]
    public void Pins_what_a_sigmoid_makes_to_its_range_and_leaves_a_softmax_float()
    {
        const string graph = """
            in x: float[N,4]
            const w: float[4,4] ~ 1
            const v: float[4,4] ~ 2
            a = Gemm(x, w)
            s = Sigmoid(a)
            b = Gemm(s, v)
            t = Softmax(b)
            y = Gemm(t, w)
            out y
            """;
        var (_, quantized, report) = TransformText(graph, Samples(16, 4), """{"calibration":"min-max"}""");
        var sigmoid = report["tensors"]!.AsArray().Single(t => t!["name"]!.GetValue<string>() == "s")!;
        Assert.Equal((0, 1), (sigmoid["zeroPoint"]!.GetValue<int>(), Math.Round(sigmoid["maximum"]!.GetValue<double>(), 6)));
        Assert.Contains("QLinearSigmoid", Kernels(quantized));
        Assert.Contains("Softmax", Kernels(quantized));
    }

    [Theory]
    [InlineData("b = Conv(a, w) @kept group=2")]
    [InlineData("c = Conv(a, w) @kept group=2\nb = Relu(c)")]
    [InlineData("c = Conv(a, w) @kept group=2\nb = Clip(c, low, high)")]
    public void Leaves_the_weights_exact_of_what_stays_float_between_integers(string kept)
    {
        // The second channel's weight is a 200th of the first one's: with one scale for both, as ONNX Runtime would give it, it would be lost.
        var graph = $"""
            in x: float[N,2,4,4]
            const u: float[2,2,1,1] = 1 0 0 1
            const w: float[2,1,1,1] = 1 0.0049
            const v: float[2,2,1,1] = 0 1 0 1
            const low: float[] = 0
            const high: float[] = 6
            a = Conv(x, u) @first
            {kept}
            y = Conv(b, v) @last
            out y
            """;
        // A second tensor of large range would hide the small channel behind its own rounding, so only the small one is fed.
        var data = Dataset.Open(_folder.Write($"kept-{_runs++}/x.npy", ArrayWriter.Npy("<f4", [8, 2, 4, 4], [.. Values(256, 4).Select((v, i) => i / 16 % 2 == 0 ? 0 : Math.Abs(v))])));
        var (original, quantized, report) = TransformText(graph, data, """{"calibration":"min-max","exclude":["kept"]}""");
        Assert.Single(report["floatKernels"]!.AsArray());
        Assert.InRange(Sqnr(original, quantized, data), 35, 200);
    }

    [Theory]
    [InlineData("const w: float[16,16,3,3] ~ 1\ny = Conv(x, w) @c pads=[1,1,1,1]\nout y", false)]
    [InlineData("const w: float[16,1,9,9] ~ 1\ny = Conv(x, w) @c group=16 pads=[4,4,4,4]\nout y", true)]
    public void Warns_where_integers_are_probably_slower(string graph, bool slower)
    {
        // 2,359,296 products in one operator, 27.2 us, or 13.9 us in integers and 3 operators; 1,327,104 of single channels, 31.2 us, or 147.5 and 3.
        var (_, _, report) = TransformText($"in x: float[1,16,32,32]\n{graph}", Samples(2, 16, 32, 32), """{"calibration":"min-max"}""");
        Assert.Equal(slower ? 4.83 : 0.62, report["estimatedTimeRatio"]!.GetValue<double>(), 0.02);
        Assert.Equal(slower, report["warnings"]!.AsArray().Any(w => w!.GetValue<string>().Contains("probably slower", StringComparison.Ordinal)));
        Assert.DoesNotContain(report["warnings"]!.AsArray(), w => w!.GetValue<string>().Contains("no smaller", StringComparison.Ordinal) && !slower);
    }

    [Fact]
    public void Warns_where_the_file_is_no_smaller()
    {
        var (original, quantized, report) = TransformText("in x: float[N,2]\nconst w: float[2,2] = 1 2 3 4\ny = Gemm(x, w) @g\nout y", Samples(4, 2));
        Assert.InRange(quantized.Length, original.Length, int.MaxValue);
        Assert.Contains(report["warnings"]!.AsArray(), w => w!.GetValue<string>().Contains($"no smaller: {quantized.Length} bytes, after {original.Length}", StringComparison.Ordinal));
    }

    [Fact]
    public void Returns_a_quantized_network_unchanged_and_says_so()
    {
        var samples = Samples(8, 3, 8, 8);
        var (_, quantized, _) = TransformText(Residual, samples);
        var again = Transform(_folder.Write("again.onnx", quantized), samples);
        Assert.Equal(quantized, File.ReadAllBytes(again.OutputPath!));
        Assert.True(again.Report["unchanged"]!.GetValue<bool>());
        Assert.Contains("quantized already", again.Report["message"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    [Fact]
    public void Completes_a_network_that_is_quantized_in_part()
    {
        var samples = Samples(8, 3, 8, 8);
        var (original, partly, _) = TransformText(Residual, samples, """{"exclude":["second"]}""");
        Assert.Contains(Kernels(partly), FloatOperators.Contains);
        var result = Transform(_folder.Write("partly.onnx", partly), samples);
        var complete = File.ReadAllBytes(result.OutputPath!);
        Assert.Equal(["second"], result.Report["quantized"]!.AsArray().Select(q => q!["node"]!.GetValue<string>()));
        Assert.DoesNotContain(Kernels(complete), FloatOperators.Contains);
        Assert.InRange(Sqnr(original, complete, samples), 28, 200);
    }

    [Fact]
    public void Refuses_names_that_no_node_has_and_missing_or_unfit_samples()
    {
        var path = _folder.Write("residual.onnx", OnnxFile.ToBytes(GraphText.Parse(Residual)));
        string Refusal(string code, Dataset? dataset, string options = "{}")
        {
            var refusal = Assert.Throws<TransformRejectedException>(() => Transform(path, dataset, options));
            Assert.Equal(code, refusal.Code);
            return refusal.Message;
        }
        var names = Refusal("invalid-option", Samples(1, 3, 8, 8), """{"exclude":["first","third","fourth"]}""");
        Assert.Contains("no node 'third'; those with weights are 'first', 'second', 'last'", names, StringComparison.Ordinal);
        Assert.Equal(2, names.Split('\n').Length);
        Assert.Contains("role 'calibrate'", Refusal("missing-dataset", null), StringComparison.Ordinal);
        Assert.Contains("gives [3,8,7]", Refusal("invalid-dataset", Samples(1, 3, 8, 7)), StringComparison.Ordinal);
        Refusal("invalid-option", Samples(1, 3, 8, 8), """{"calibration":"maximum"}""");
    }

    [Fact]
    public void Refuses_samples_on_which_the_network_overflows()
    {
        const string graph = "in x: float[N,2]\nconst w: float[2,2] = 1 1 1 1\nl = Log(x)\ny = Gemm(l, w) @y\nout y";
        var refusal = Assert.Throws<TransformRejectedException>(() => TransformText(graph, Samples(4, 2)));
        Assert.Equal("not-finite", refusal.Code);
        Assert.Contains("tensor 'l'", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Stops_when_cancelled()
    {
        var path = _folder.Write("residual.onnx", OnnxFile.ToBytes(GraphText.Parse(Residual)));
        Assert.ThrowsAny<OperationCanceledException>(() => Transform(path, Samples(4, 3, 8, 8), cancellation: new CancellationToken(canceled: true)));
    }

    [Fact]
    public void Sees_the_same_with_one_and_two_threads()
    {
        var model = GraphText.Parse(Residual);
        var samples = Samples(8, 3, 8, 8);
        string[] tensors = ["x", "ar", "s", "g"];
        var one = Calibration.Run(model, tensors, samples, 1, _ => { }, TestContext.Current.CancellationToken);
        var two = Calibration.Run(model, tensors, samples, 2, _ => { }, TestContext.Current.CancellationToken);
        foreach (var tensor in tensors)
        {
            Assert.Equal(one.Statistics[tensor].Histogram.ToArray(), two.Statistics[tensor].Histogram.ToArray());
            Assert.Equal((one.Statistics[tensor].Minimum, one.Statistics[tensor].Maximum), (two.Statistics[tensor].Minimum, two.Statistics[tensor].Maximum));
        }
    }

    [Fact]
    public void Writes_the_same_bytes_whenever_and_wherever()
    {
        // Small integers throughout, so that no float operation rounds and every processor calibrates alike: the digest can stand here, and a process or home that gave other bytes would be seen.
        // Equalizing would make fractions of them, and so would the copies of fewer than 8 samples.
        const string graph = """
            in x: float[N,2,2,2]
            const w: float[3,2,1,1] = 1 2 -3 4 5 -6
            const b: float[3] = 1 -1 2
            const v: float[2,3] = 1 2 3 -4 5 6
            c = Conv(x, w, b) @c
            r = Relu(c)
            p = GlobalAveragePool(r)
            f = Flatten(p)
            y = Gemm(f, v) @y transB=1
            out y
            """;
        string Digest()
        {
            var data = Dataset.Open(_folder.Write($"digest-{_runs++}/x.npy", ArrayWriter.Npy<sbyte>("|i1", [8, 2, 2, 2], [.. Enumerable.Range(0, 64).Select(i => (sbyte)((i * 7 % 19) - 9))])));
            return Convert.ToHexString(SHA256.HashData(TransformText(graph, data, """{"equalize":false}""").Quantized))[..16];
        }
        Assert.Equal(Digest(), Digest());
        Assert.Equal("1021F5D4F48AEC41", Digest());
    }
}
