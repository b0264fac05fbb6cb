using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.OnnxRuntime;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

/// <summary>FastestDet (70 convolutions, ShuffleNetV2) quantized with the first ten of its pictures and measured on the other twenty.</summary>
public sealed class DetectorTests : IDisposable
{
    private const string Task = "person_presence_fastestdet";

    // The threshold that the reference was measured with.
    private const double Threshold = 0.65;

    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Finds_the_persons_that_the_reference_found()
    {
        var labels = LabelledTask.Data(Task, "test", _folder);
        Assert.Equal(20, Presence(File.ReadAllBytes(LabelledTask.Network(Task)), labels).Length);
        // 27 of all 30 are right in the reference.
        var all = Dataset.Open(_folder.Write("all.yaml", File.ReadAllText(labels.Path).Replace("skip: 10", "", StringComparison.Ordinal)));
        Assert.Equal(27, Presence(File.ReadAllBytes(LabelledTask.Network(Task)), all).Count(p => p));
    }

    [Fact]
    public void Keeps_its_outputs_and_what_it_finds_on_pictures_it_was_not_calibrated_with()
    {
        var path = LabelledTask.Network(Task);
        var original = File.ReadAllBytes(path);
        var result = new Quantize().Transform(
            new TransformRequest
            {
                InputPath = path,
                InputKind = "onnx",
                WorkFolder = _folder.Folder("work"),
                Datasets = new Dictionary<string, Dataset> { ["calibrate"] = LabelledTask.Data(Task, "calibrate", _folder) },
            },
            new Progress<TransformProgress>(),
            Cancellation);
        var quantized = File.ReadAllBytes(result.OutputPath!);
        var test = LabelledTask.Data(Task, "test", _folder);
        // Measured: 19.9 dB.
        Assert.InRange(Evaluation.Measure(quantized, test, Metric.Sqnr, original, cancellation: Cancellation).Value, 17.5, 200);
        Assert.InRange(quantized.Length, 1, original.Length / 2);
        Assert.InRange(result.Report["search"]!["floatMacShare"]!.GetValue<double>(), 0, 0.2);
        // One picture of twenty may turn.
        Assert.InRange(Presence(quantized, test).Count(p => p), Presence(original, test).Count(p => p) - 1, 20);
    }

    /// <summary>For each picture: whether the network is right about a person being on it. The score is the largest of objectness^0.6 * person^0.4 over the cells (FastestDet's own post-processing).</summary>
    private static bool[] Presence(byte[] network, Dataset pictures)
    {
        using var session = RuntimeSession.Open(network, cancellation: Cancellation);
        return [.. session.Bind(pictures).Samples().Select(sample =>
        {
            var output = session.Run(sample.Feeds.Single())[0];
            var (values, cells) = (output.As<float>().ToArray(), (int)(output.Shape[2] * output.Shape[3]));
            var score = Enumerable.Range(0, cells).Max(c => Math.Pow(values[c], 0.6) * Math.Pow(values[(5 * cells) + c], 0.4));
            return score > Threshold == (sample.Label == 1);
        })];
    }
}
