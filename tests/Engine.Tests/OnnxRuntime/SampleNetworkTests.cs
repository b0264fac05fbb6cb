using System.Runtime.CompilerServices;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Fuse;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

/// <summary>What the demonstration promises of the committed sample, without any service around.</summary>
public sealed class SampleNetworkTests : IDisposable
{
    private static readonly string Folder = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Here())!, "..", "..", "..", "samples"));

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Shrinks_to_two_fifths_and_loses_at_most_a_point()
    {
        var network = Path.Combine(Folder, "fashion-cnn.onnx");
        var evaluation = Dataset.Open(Path.Combine(Folder, "fashion-mnist", "evaluation.yaml"));
        var fused = Transform(new Fuse(), network);
        var quantized = Transform(new Quantize(), fused.OutputPath!);

        var before = Evaluation.Measure(File.ReadAllBytes(network), evaluation, Metric.Top1, cancellation: TestContext.Current.CancellationToken).Value;
        var bytes = File.ReadAllBytes(quantized.OutputPath!);
        var after = Evaluation.Measure(bytes, evaluation, Metric.Top1, cancellation: TestContext.Current.CancellationToken).Value;

        Assert.InRange(after, before - 0.01, 1);
        Assert.InRange(bytes.Length / (double)new FileInfo(network).Length, 0.2, 0.4);
        Assert.Empty(IntegerKernels.LeftFloat(IntegerKernels.Rewritten(bytes, _folder.Path)));
        // Quantizing alone fuses by itself and comes to the same function.
        var alone = File.ReadAllBytes(Transform(new Quantize(), network).OutputPath!);
        Assert.Equal(200, Evaluation.Measure(alone, evaluation, Metric.Sqnr, bytes, cancellation: TestContext.Current.CancellationToken).Value);
    }

    private TransformResult Transform(ITransformer transformer, string path) => transformer.Transform(
        new TransformRequest
        {
            InputPath = path,
            InputKind = "onnx",
            WorkFolder = _folder.Folder(Guid.NewGuid().ToString()),
            Datasets = new Dictionary<string, Dataset> { ["calibrate"] = Dataset.Open(Path.Combine(Folder, "fashion-mnist", "calibration.yaml")) },
        },
        new Progress<TransformProgress>(),
        TestContext.Current.CancellationToken);

    private static string Here([CallerFilePath] string path = "") => path;
}
