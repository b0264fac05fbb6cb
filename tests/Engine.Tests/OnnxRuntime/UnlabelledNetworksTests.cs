using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

/// <summary>Detectors, readers and an audio front end as their exporters wrote them go through quantization with default options, calibrated on the input that came with them.</summary>
public sealed class UnlabelledNetworksTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // The bounds lie 1 dB and more below what was measured, and none below 12 dB; most of them are 20 dB or more.
    [Theory]
    [InlineData("yunet_n_320", 23.5)]
    [InlineData("yunet_n_dynamic", 23.5)]
    [InlineData("ultraface_rfb_320", 44)]
    [InlineData("blazeface_front_128_nhwc", 23)]
    [InlineData("mlsd_320_tiny_mobilenetv2", 16)]
    [InlineData("ppocr_v2_cls_mobilenetv3", 60)]
    [InlineData("ppocr_v4_det", 12)]
    // Its softmax over 6,625 characters amplifies what rounding does to the last bit: other integer kernels give this file between 20 and 27 dB.
    [InlineData("ppocr_v4_rec_svtr", 20)]
    [InlineData("speech_embedding_cnn", 22)]
    public void Keeps_the_outputs_of_real_networks(string network, double leastSqnr)
    {
        var path = SharedModels.Find($"unlabelled/{network}.onnx");
        var original = File.ReadAllBytes(path);
        var input = OnnxFile.Read(original).Graph.RequiredInputs.Single().Name;
        var golden = Dataset.Open(_folder.Write("golden.yaml", $"inputs:\n  \"{input}\": {{ file: \"{Path.ChangeExtension(path, ".golden.npz")}\", array: in_0 }}\n"));
        var result = new Quantize().Transform(
            new TransformRequest
            {
                InputPath = path,
                InputKind = "onnx",
                WorkFolder = _folder.Folder("work"),
                Datasets = new Dictionary<string, Dataset> { ["calibrate"] = golden },
            },
            new Progress<TransformProgress>(),
            TestContext.Current.CancellationToken);
        var quantized = File.ReadAllBytes(result.OutputPath!);
        Assert.InRange(Evaluation.Measure(quantized, golden, Metric.Sqnr, original, cancellation: TestContext.Current.CancellationToken).Value, leastSqnr, 200);
        Assert.InRange(quantized.Length, 1, original.Length / 2);
        // What ONNX Runtime still computes with floats is what the report names, each with its reason, and a fifth of the work at most.
        var weighted = result.Report["leftFloat"]!.AsArray().Where(f => f!["operator"]!.GetValue<string>() is "Conv" or "Gemm" or "MatMul" or "ConvTranspose").ToArray();
        Assert.Equal(weighted.Length, result.Report["floatKernels"]!.AsArray().Count);
        Assert.All(result.Report["leftFloat"]!.AsArray(), f => Assert.NotEqual("", f!["reason"]!.GetValue<string>()));
        Assert.InRange(result.Report["search"]!["floatMacShare"]!.GetValue<double>(), 0, 0.2);
    }
}
