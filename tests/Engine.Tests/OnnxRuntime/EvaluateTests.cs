using System.Text.Json;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.OnnxRuntime;

public sealed class EvaluateTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private TransformResult Transform(Dataset? dataset, string options, string? original = null) => new Evaluate().Transform(
        new TransformRequest
        {
            InputPath = _folder.Write("model.onnx", OnnxFile.ToBytes(GraphText.Parse("in x: float[N,3]\ny = Neg(x)\nout y"))),
            InputKind = "onnx",
            OriginalPath = original is null ? null : _folder.Write("original.onnx", OnnxFile.ToBytes(GraphText.Parse(original))),
            WorkFolder = _folder.Folder("work"),
            Options = JsonDocument.Parse(options).RootElement,
            Datasets = dataset is null ? new Dictionary<string, Dataset>() : new Dictionary<string, Dataset> { ["evaluate"] = dataset },
        },
        new Progress<TransformProgress>(),
        TestContext.Current.CancellationToken);

    private Dataset Data(bool labels)
    {
        // The least of each row wins, since the network negates: 0, 2, 1, 0.
        _folder.Write("data/x.npy", ArrayWriter.Npy<float>("<f4", [4, 3], 1, 2, 3, 3, 2, 1, 2, 1, 3, 0, 1, 2));
        if (labels)
            _folder.Write("data/labels.npy", ArrayWriter.Npy<byte>("|u1", [4], 0, 2, 1, 1));
        return Dataset.Open(Path.Combine(_folder.Path, "data"));
    }

    [Fact]
    public void Reports_the_metric_and_on_how_many_samples()
    {
        var result = Transform(Data(labels: true), """{"metric":"top1"}""");
        Assert.Null(result.OutputPath);
        Assert.Equal("""{"metric":"top1","value":0.75,"samples":4}""", result.Report.ToJsonString());
        Assert.Equal((0.75, 4), (result.Metrics["top1"], result.Metrics["samples"]));
        Assert.False(new Evaluate().Info.Listed);
    }

    // The original gives 2x, the network under test -x, so noise is 3x: 10 log10(4/9) = -3.5218 dB. Its largest is the network's smallest: they never agree,
    // but for an original that negates too.
    [Theory]
    [InlineData("sqnr", "in x: float[N,3]\nz = Add(x, x)\nout z", -3.52183)]
    [InlineData("agreement", "in x: float[N,3]\nz = Add(x, x)\nout z", 0)]
    [InlineData("agreement", "in x: float[N,3]\nn = Neg(x)\nz = Add(n, n)\nout z", 1)]
    [InlineData("sqnr", "in x: float[N,3]\nz = Neg(x)\nout z", 200)]
    public void Compares_with_the_original_of_the_run(string metric, string original, double expected)
    {
        var result = Transform(Data(labels: false), $$"""{"metric":"{{metric}}"}""", original);
        Assert.Equal(expected, result.Metrics[metric], 1e-4);
        Assert.True(new Evaluate().Info.ReadsOriginal);
    }

    [Theory]
    [InlineData("sqnr", "missing-reference", "compares a network with the one it was made from")]
    [InlineData("agreement", "missing-reference", "compares a network with the one it was made from")]
    [InlineData("top1", "invalid-dataset", "needs labels")]
    [InlineData("auc-mse", "invalid-dataset", "needs labels")]
    [InlineData("f1", "invalid-option", "\"auc-mse\"")]
    public void Refuses_what_it_cannot_measure(string metric, string code, string says)
    {
        var refusal = Assert.Throws<TransformRejectedException>(() => Transform(Data(labels: false), $$"""{"metric":"{{metric}}"}"""));
        Assert.Equal(code, refusal.Code);
        Assert.Contains(says, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_to_work_without_a_dataset() =>
        Assert.Equal("missing-dataset", Assert.Throws<TransformRejectedException>(() => Transform(null, "{}")).Code);

    // x is one row (1, 2, 3) of each order: the reference gives 2x, the other -x. Noise is 3x, so 10 log10(4/9) dB; the largest difference is 3 * 3.
    [Fact]
    public void Compares_two_networks_in_one_pass()
    {
        var comparison = Evaluation.Compare(
            OnnxFile.ToBytes(GraphText.Parse("in x: float[N,3]\ny = Neg(x)\nout y")), OnnxFile.ToBytes(GraphText.Parse("in x: float[N,3]\ny = Add(x, x)\nout y")), Data(labels: false), cancellation: TestContext.Current.CancellationToken);
        Assert.Equal(-3.52183, comparison.SqnrDb, 1e-4);
        Assert.Equal((0d, 9d, 4), (comparison.Agreement, comparison.MaxAbsDiff, comparison.Samples));
    }

    [Theory]
    [InlineData("in z: float[N,3]\ny = Neg(z)\nout y", "different-inputs", "one takes x, the other z")]
    [InlineData("in x: float[N,3]\ny = Neg(x)\nz = Neg(y)\nout y\nout z", "unsuitable-metric", "has 1 outputs and the reference 2")]
    public void Refuses_to_compare_networks_that_take_or_give_other_things(string reference, string code, string says)
    {
        var refusal = Assert.Throws<TransformRejectedException>(() => Evaluation.Compare(
            OnnxFile.ToBytes(GraphText.Parse("in x: float[N,3]\ny = Neg(x)\nout y")), OnnxFile.ToBytes(GraphText.Parse(reference)), Data(labels: false), cancellation: TestContext.Current.CancellationToken));
        Assert.Equal(code, refusal.Code);
        Assert.Contains(says, refusal.Message, StringComparison.Ordinal);
    }
}
