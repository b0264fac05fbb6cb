using TinyMLaaS.Engine.OnnxRuntime.Evaluate;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

/// <summary>Real networks keep their accuracy. The float references are those that ONNX Runtime's Python API measured on the same files.</summary>
public sealed class LabelledNetworksTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("ic_cifar10_resnet8", Metric.Top1, 0.879, 2000)]
    [InlineData("kws_speechcommands_dscnn", Metric.Top1, 0.885, 400)]
    [InlineData("ad_toycar_autoencoder", Metric.AucMse, 0.8897, 124)]
    [InlineData("vww_person_mobilenetv1", Metric.Top1, 0.7667, 300)]
    [InlineData("mnist_cnn_cntk", Metric.Top1, 0.981, 3000)]
    [InlineData("mnist_mlp_bn_pytorch", Metric.Top1, 0.8957, 3000)]
    [InlineData("hand_keypoint_mlp", Metric.Top1, 0.9701, 4187)]
    public void Measures_what_the_reference_measured(string task, Metric metric, double reference, int samples)
    {
        var result = Evaluation.Measure(File.ReadAllBytes(LabelledTask.Network(task)), LabelledTask.Data(task, "test", _folder), metric, cancellation: TestContext.Current.CancellationToken);
        // The references are rounded to four places.
        Assert.Equal(reference, result.Value, 4);
        Assert.Equal(samples, result.Samples);
    }
}
