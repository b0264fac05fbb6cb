using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Tests.OnnxRuntime;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Fuse;

namespace TinyMLaaS.Engine.Tests.Graphs;

public sealed class ActivationMemoryTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // Counted by hand, in floats of 4 bytes.
    [Theory]
    [InlineData("in x: float[1,10]\ny = Relu(x)\nout y", 80)] // x and y
    [InlineData("in x: float[1,10]\na = Relu(x)\nb = Relu(a)\ny = Relu(b)\nout y", 80)] // never more than two
    [InlineData("in x: float[1,10]\na = Relu(x)\nb = Relu(a)\ny = Add(b, x)\nout y", 120)] // x waits for the Add
    [InlineData("in x: float[1,10]\na = Relu(x)\ny = Neg(x)\nout y\nout a", 120)] // an output stays
    [InlineData("in x: float[batch,10]\ny = Relu(x)\nout y", 80)] // a symbolic batch is 1
    public void Counts_what_lives_at_once(string graph, long bytes) => Assert.Equal(bytes, ModelDescription.Of(GraphText.Parse(graph)).PeakActivationBytes);

    [Fact]
    public void Says_nothing_where_an_extent_is_not_known() => Assert.Null(ModelDescription.Of(GraphText.Parse("in x: float[1,w]\ny = Relu(x)\nout y")).PeakActivationBytes);

    // MLPerf Tiny's published peaks of the int8 networks, one byte an element; the float network takes four times that where no Relu of its own decides.
    [Theory]
    [InlineData("ic_cifar10_resnet8", 49_152)]
    [InlineData("kws_speechcommands_dscnn", 16_000)]
    [InlineData("ad_toycar_autoencoder", 768)]
    public void Agrees_with_the_published_peaks(string task, long elements)
    {
        var fused = Run(new Fuse(), LabelledTask.Network(task), []);
        Assert.Equal(4 * elements, ModelDescription.Of(OnnxFile.Read(fused)).PeakActivationBytes);
    }

    // ResNet-8's largest moment is the published one. MobileNet's picture comes as floats here, so its largest moment is 3 x 96 x 96 floats and their integers.
    [Theory]
    [InlineData("ic_cifar10_resnet8", 49_152)]
    [InlineData("vww_person_mobilenetv1", 3 * 96 * 96 * (4 + 1))]
    public void Counts_integers_once_and_in_their_own_size(string task, long bytes)
    {
        var quantized = Run(new Quantize(), LabelledTask.Network(task), new() { ["calibrate"] = LabelledTask.Data(task, "calibrate", _folder, limit: 4) });
        Assert.Equal(bytes, ModelDescription.Of(OnnxFile.Read(quantized)).PeakActivationBytes);
    }

    [Fact]
    public void Counts_operators_in_nested_graphs_and_other_domains()
    {
        var model = GraphText.Parse("in x: float[1,10]\na = Relu(x)\ny = Relu(a)\nout y");
        Assert.Equal(new Dictionary<string, int> { ["Relu"] = 2 }, ModelDescription.Of(model).Operators);
        model.Graph.AddNode("Gelu", [model.Graph.Outputs[0]], ["z"], domain: "com.microsoft");
        Assert.Equal(1, ModelDescription.Of(model).Operators["com.microsoft:Gelu"]);
    }

    private string Run(ITransformer transformer, string network, Dictionary<string, Engine.Datasets.Dataset> datasets) => transformer.Transform(
        new TransformRequest { InputPath = network, InputKind = "onnx", WorkFolder = _folder.Folder(transformer.GetType().Name), Datasets = datasets },
        new Progress<TransformProgress>(),
        TestContext.Current.CancellationToken).OutputPath!;
}
