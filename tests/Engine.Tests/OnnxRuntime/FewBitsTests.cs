using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

/// <summary>Weights and activations of 4 bits: the exported file computes what rounding by hand, in floats, says.</summary>
public sealed class FewBitsTests : IDisposable
{
    private const string Network = """
        in x: float[N,3,8,8]
        const w: float[5,3,3,3] ~ 1
        const b: float[5] = 0.5 -0.5 1 0 2
        const m: float[5,7] ~ 3
        const mb: float[7] = 1 2 3 4 5 6 7
        h = Conv(x, w, b) @conv
        r = Relu(h)
        p = GlobalAveragePool(r)
        f = Flatten(p)
        g = Gemm(f, m, mb) @gemm
        out g
        """;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private Dataset Samples()
    {
        var random = new Random(6);
        return Dataset.Open(_folder.Write("data/x.npy", ArrayWriter.Npy("<f4", [8, 3, 8, 8], [.. Enumerable.Range(0, 8 * 192).Select(_ => (random.NextSingle() * 4) - 2)])));
    }

    private (byte[] Bytes, JsonObject Report) Quantized(string graph, Dataset? samples, string options, long opset = 13)
    {
        var path = _folder.Write("model.onnx", OnnxFile.ToBytes(GraphText.Parse(graph, opset)));
        var result = new Quantize().Transform(
            new TransformRequest
            {
                InputPath = path,
                InputKind = "onnx",
                WorkFolder = _folder.Folder("work"),
                Options = JsonDocument.Parse(options).RootElement,
                Datasets = samples is null ? new Dictionary<string, Dataset>() : new Dictionary<string, Dataset> { ["calibrate"] = samples },
            },
            new Progress<TransformProgress>(),
            TestContext.Current.CancellationToken);
        return (File.ReadAllBytes(result.OutputPath!), result.Report);
    }

    [Theory]
    [InlineData(4, 8)]
    [InlineData(8, 4)]
    [InlineData(4, 4)]
    [InlineData(8, 8)]
    public void Computes_what_rounding_by_hand_says(int weightBits, int activationBits)
    {
        var samples = Samples();
        var (bytes, report) = Quantized(Network, samples, $$"""{"calibration":"min-max","weight-bits":{{weightBits}},"activation-bits":{{activationBits}}}""");
        // The float network, with every tensor that the report names rounded by float operators and every constant rounded here.
        var reference = GraphText.Parse(Network);
        var graph = reference.Graph;
        var grids = report["tensors"]!.AsArray().ToDictionary(t => t!["name"]!.GetValue<string>(), t => (Scale: t!["scale"]!.GetValue<float>(), Zero: t["zeroPoint"]!.GetValue<int>()));
        Assert.All(grids.Values, g => Assert.InRange(g.Zero, 0, (1 << activationBits) - 1));
        RoundConstants(graph.Find("h")!.Producer!, grids["x"].Scale, weightBits, element => element / 27);
        RoundConstants(graph.Find("g")!.Producer!, grids["f"].Scale, weightBits, element => element % 7);
        foreach (var (name, grid) in grids)
            RoundTensor(graph, name, grid.Scale, grid.Zero, activationBits);
        using var expected = RuntimeSession.Open(OnnxFile.ToBytes(reference), Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_DISABLE_ALL, cancellation: TestContext.Current.CancellationToken);
        using var got = RuntimeSession.Open(bytes, Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_DISABLE_ALL, cancellation: TestContext.Current.CancellationToken);
        foreach (var feed in samples.Bind(expected.Inputs).Samples().SelectMany(s => s.Feeds))
        {
            var (a, b) = (expected.Run(feed)[0].As<float>().ToArray(), got.Run(feed)[0].As<float>().ToArray());
            Assert.All(a.Zip(b), p => Assert.Equal(p.First, p.Second, 1e-4));
        }
    }

    private static void RoundConstants(Node node, float inputScale, int bits, Func<int, int> channelOf)
    {
        var (weight, bias) = (node.Input(1)!, node.Input(2)!);
        var values = weight.Constant!.As<float>().ToArray();
        var largest = (1 << (bits - 1)) - 1;
        var scales = values.Select((v, i) => (Channel: channelOf(i), Size: Math.Abs(v))).GroupBy(v => v.Channel).ToDictionary(g => g.Key, g => g.Max(v => v.Size) / largest);
        weight.Graph.SetContent(weight, Tensor.From<float>(weight.Constant.Shape.AsSpan(), [.. values.Select((v, i) => MathF.Round(v / scales[channelOf(i)]) * scales[channelOf(i)])]));
        bias.Graph.SetContent(bias, Tensor.Vector<float>([.. bias.Constant!.As<float>().ToArray().Select((v, c) => MathF.Round(v / (scales[c] * inputScale)) * scales[c] * inputScale)]));
    }

    private static void RoundTensor(Graph graph, string name, float scale, int zero, int bits)
    {
        var tensor = graph.Find(name)!;
        var before = tensor.Producer is { } producer ? producer.Next : graph.First;
        var uses = tensor.Uses.ToArray();
        Value Number(float value) => graph.AddConstant("number", Tensor.Scalar(value));
        var moved = graph.AddNode("Add", [graph.AddNode("Round", [graph.AddNode("Div", [tensor, Number(scale)], "d", before)], "r", before), Number(zero)], "a", before);
        var kept = graph.AddNode("Clip", [moved, Number(0), Number((1 << bits) - 1)], "c", before);
        var back = graph.AddNode("Mul", [graph.AddNode("Sub", [kept, Number(zero)], "s", before), Number(scale)], "m", before);
        foreach (var use in uses)
            use.Node.SetInput(use.Index, back);
    }

    [Fact]
    public void Packs_weights_of_4_bits_two_to_a_byte_in_a_file_that_knows_them()
    {
        var samples = Samples();
        var (bytes, report) = Quantized(Network, samples, """{"calibration":"min-max","weight-bits":4}""");
        var model = OnnxFile.Read(bytes);
        Assert.Equal((21, 10), (model.Opset, model.IrVersion));
        var packed = model.Graph.Nodes.Single(n => n.Is("Conv")).Input(1)!.Producer!.Input(0)!.Constant!;
        Assert.Equal((ElementType.Int4, (135 + 1) / 2), (packed.Type, packed.Bytes.Length));
        // The first element is in the low half of the first byte, as a two's complement number.
        var floats = GraphText.Parse(Network).Graph.Find("w")!.Constant!.As<float>().ToArray();
        for (var i = 0; i < floats.Length; i++)
        {
            var channel = floats.Skip(i / 27 * 27).Take(27).Max(Math.Abs) / 7;
            var nibble = (packed.Bytes.Span[i / 2] >> (i % 2 * 4)) & 0xF;
            Assert.Equal((int)MathF.Round(floats[i] / channel), nibble > 7 ? nibble - 16 : nibble);
        }
        // ONNX Runtime has no kernels for them, and the report says so for each.
        Assert.Equal(["conv", "gemm"], report["computedInFloat"]!.AsArray().Select(f => f!["node"]!.GetValue<string>()));
        Assert.All(report["computedInFloat"]!.AsArray(), f => Assert.Contains("no kernel for a", f!["reason"]!.GetValue<string>(), StringComparison.Ordinal));
        Assert.Equal(2, report["floatKernels"]!.AsArray().Count);
        Assert.Contains(report["warnings"]!.AsArray(), w => w!.GetValue<string>().StartsWith("ONNX Runtime computes 2 operators with weights of 4 bits in floats", StringComparison.Ordinal));
    }

    [Fact]
    public void Keeps_integer_kernels_with_activations_of_4_bits()
    {
        var (bytes, report) = Quantized(Network, Samples(), """{"activation-bits":4}""");
        Assert.Empty(report["floatKernels"]!.AsArray());
        Assert.Empty(report["computedInFloat"]!.AsArray());
        Assert.Contains(IntegerKernels.Rewritten(bytes, _folder.Path).Graph.Nodes, n => n.OpType == "QLinearConv");
        Assert.All(OnnxFile.Read(bytes).Graph.Nodes.Where(n => n.Is("QuantizeLinear")), n => Assert.True(n.Output.Uses.Single().Node.Is("Clip")));
        Assert.All(report["tensors"]!.AsArray(), t => Assert.Equal(4, t!["bits"]!.GetValue<int>()));
    }

    [Fact]
    public void Makes_a_real_network_half_as_large()
    {
        var samples = LabelledTask.Data("ic_cifar10_resnet8.calibrate", _folder);
        var original = File.ReadAllBytes(LabelledTask.Network("ic_cifar10_resnet8"));
        (byte[] Bytes, double Accuracy) Of(string options)
        {
            var result = new Quantize().Transform(
                new TransformRequest
                {
                    InputPath = LabelledTask.Network("ic_cifar10_resnet8"),
                    InputKind = "onnx",
                    WorkFolder = _folder.Folder("real"),
                    Options = JsonDocument.Parse(options).RootElement,
                    Datasets = new Dictionary<string, Dataset> { ["calibrate"] = samples },
                },
                new Progress<TransformProgress>(),
                TestContext.Current.CancellationToken);
            var bytes = File.ReadAllBytes(result.OutputPath!);
            return (bytes, Evaluation.Measure(bytes, LabelledTask.Data("ic_cifar10_resnet8.test", _folder), Metric.Top1, original, cancellation: TestContext.Current.CancellationToken).Value);
        }
        var (eight, four) = (Of("""{"calibration":"mse"}"""), Of("""{"calibration":"mse","weight-bits":4}"""));
        // 77,360 weights: half a byte less for each.
        Assert.InRange(eight.Bytes.Length - four.Bytes.Length, 36_000, 39_000);
        // Four bits alone lose a third of the pictures; scales, channels, biases and what stays float, all chosen by measured error, give back all but one in a hundred.
        Assert.InRange(four.Accuracy, 0.5, 0.7);
        var searched = Of("""{"weight-bits":4}""");
        Assert.InRange(searched.Accuracy, 0.85, 0.89);
        Assert.InRange(searched.Bytes.Length, 1, 75_000);
    }

    [Theory]
    [InlineData("s = ReduceMax(x) axes=[2,3] keepdims=1\ny = Conv(s, w)\nout y")]
    [InlineData("a, b = Split(x) axis=1\nc = Concat(b, a) axis=1\ny = Conv(c, w)\nout y")]
    public void Raises_the_opset_without_changing_what_a_network_computes(string rest)
    {
        var model = GraphText.Parse($"in x: float[1,4,6,6]\nconst w: float[3,4,1,1] ~ 1\n{rest}");
        var before = OnnxFile.ToBytes(model);
        OpsetRaise.Apply(model);
        Assert.Equal((21, 10), (model.Opset, model.IrVersion));
        var inputs = Oracle.Inputs(before, 8);
        Oracle.AssertClose(Oracle.Run(before, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 0, 0);
    }

    [Fact]
    public void Refuses_what_cannot_be()
    {
        string Refusal(string options, string graph = Network)
        {
            var refusal = Assert.Throws<TransformRejectedException>(() => Quantized(graph, null, options));
            return $"{refusal.Code}: {refusal.Message}";
        }
        Assert.Contains("invalid-option: Option 'weight-bits': got 5, expected 8 or 4.", Refusal("""{"weight-bits":5}"""), StringComparison.Ordinal);
        Assert.Contains("Option 'activation-bits': got 7, expected 8 or 4.", Refusal("""{"activation-bits":7}"""), StringComparison.Ordinal);
        Assert.Contains("expected a whole number from 4 to 8", Refusal("""{"activation-bits":2}"""), StringComparison.Ordinal);
        Assert.Contains("'reduced-range' narrows weights of 8 bits, and 'weight-bits' is 4", Refusal("""{"weight-bits":4,"reduced-range":true}"""), StringComparison.Ordinal);
        var old = Refusal("""{"weight-bits":4}""", "in x: float[1,2,4,4]\nconst w: float[2,2,1,1] ~ 1\nconst s: float[4] = 1 1 2 2\nr = Resize(x, , s) @half coordinate_transformation_mode=\"tf_half_pixel_for_nn\" mode=\"nearest\"\ny = Conv(r, w)\nout y");
        Assert.StartsWith("unsupported-opset-upgrade: Weights of 4 bits need opset 21.", old, StringComparison.Ordinal);
        Assert.Contains("'half'", old, StringComparison.Ordinal);
    }
}
