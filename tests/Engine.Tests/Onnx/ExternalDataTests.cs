using Google.Protobuf;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.Tests.Datasets;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.Onnx;

public sealed class ExternalDataTests
{
    [Theory]
    [InlineData("weights.bin", "0", "8")]
    [InlineData("weights.bin", null, null)]
    [InlineData("weights.bin", "4", "8")]
    [InlineData("./below/weights.bin", "8", null)]
    public void Brings_weights_of_other_files_into_the_model(string location, string? offset, string? length)
    {
        using var folder = new TemporaryFolder();
        var path = Save(folder, location, offset, length);
        folder.Write("weights.bin", Floats(1.5f, -2, 3));
        folder.Write("below/weights.bin", Floats(0, 0, 4, 5));

        var written = OnnxFile.ToBytes(OnnxFile.Read(path));

        float[] expected = location[0] == '.' ? [4, 5] : offset == "4" ? [-2, 3] : [1.5f, -2];
        Assert.Equal(expected, OnnxFile.Read(written).Graph.Find("w")!.Constant!.As<float>().ToArray());
        // ONNX Runtime reads such a file by its path only.
        using var session = new Microsoft.ML.OnnxRuntime.InferenceSession(path);
        var inputs = Oracle.Inputs(written, seed: 1);
        using var options = new Microsoft.ML.OnnxRuntime.RunOptions();
        using var reference = session.Run(options, inputs, ["y"]);
        Assert.Equal(reference[0].GetTensorDataAsSpan<float>().ToArray(), Oracle.Run(written, inputs)["y"]);
    }

    [Fact]
    public void Brings_in_the_weights_of_functions_and_nested_graphs()
    {
        using var folder = new TemporaryFolder();
        folder.Write("weights.bin", Floats(7, 8, 9, 10));
        var proto = OnnxFileTests.Sound();
        TensorProto Away(int offset)
        {
            var tensor = new TensorProto { DataType = 1, Dims = { 2 } };
            Move(tensor, "weights.bin", $"{offset}", null);
            return tensor;
        }
        var inner = new GraphProto { Node = { Constant("i", Away(0)) }, Output = { new ValueInfoProto { Name = "i" } } };
        proto.Graph.Node.Add(new NodeProto { OpType = "Any", Domain = "own", Output = { "o" }, Attribute = { new AttributeProto { Name = "g", Type = AttributeProto.Types.AttributeType.Graph, G = inner } } });
        proto.Functions.Add(new FunctionProto { Name = "f", Domain = "own", Node = { Constant("k", Away(8)) } });

        var read = ModelProto.Parser.ParseFrom(OnnxFile.ToBytes(OnnxFile.Read(folder.Write("model.onnx", proto.ToByteArray()))));

        Assert.Equal(Floats(7, 8), read.Graph.Node.Single(n => n.OpType == "Any").Attribute[0].G.Node[0].Attribute[0].T.RawData.ToByteArray());
        Assert.Equal(Floats(9, 10), read.Functions[0].Node[0].Attribute[0].T.RawData.ToByteArray());
    }

    [Fact]
    public void Tensors_may_share_their_bytes()
    {
        using var folder = new TemporaryFolder();
        folder.Write("weights.bin", Floats(1, 2));
        var proto = OnnxFileTests.Sound();
        Move(proto.Graph.Initializer[0], "weights.bin", null, null);
        var twin = proto.Graph.Initializer[0].Clone();
        twin.Name = "v";
        proto.Graph.Initializer.Add(twin);

        var model = OnnxFile.Read(folder.Write("model.onnx", proto.ToByteArray()));

        Assert.Equal(model.Graph.Find("w")!.Constant!.Bytes.ToArray(), model.Graph.Find("v")!.Constant!.Bytes.ToArray());
    }

    [Theory]
    [InlineData("../weights.bin", null, null, "is no path below the model's folder")]
    [InlineData("below/../../weights.bin", null, null, "is no path below the model's folder")]
    [InlineData("..\\weights.bin", null, null, "is no path below the model's folder")]
    [InlineData("/etc/passwd", null, null, "is no path below the model's folder")]
    [InlineData("C:\\weights.bin", null, null, "is no path below the model's folder")]
    [InlineData("", null, null, "is no path below the model's folder")]
    [InlineData("weights.bin\0", null, null, "is no path below the model's folder")]
    [InlineData("link.bin", null, null, "leads out of the model's folder")]
    [InlineData("linked/weights.bin", null, null, "leads out of the model's folder")]
    [InlineData("turning", null, null, "leads out of the model's folder")]
    [InlineData("none.bin", null, null, "is not there")]
    [InlineData("below", null, null, "is not there")]
    [InlineData("here.bin", "8", null, "it takes 8 bytes at 8 of 'here.bin', which has 12")]
    [InlineData("here.bin", "9223372036854775807", null, "it takes 8 bytes at 9223372036854775807")]
    [InlineData("here.bin", "-4", null, "its offset '-4' is no number of bytes")]
    [InlineData("here.bin", "99999999999999999999", null, "is no number of bytes")]
    [InlineData("here.bin", null, "12", "its shape and type take 8 bytes, and it states 12")]
    public void Refuses_what_is_not_there_or_not_the_models(string location, string? offset, string? length, string reason)
    {
        using var folder = new TemporaryFolder();
        folder.Write("weights.bin", Floats(1, 2, 3));
        folder.Write("model/here.bin", Floats(1, 2, 3));
        folder.Folder("model/below");
        File.CreateSymbolicLink(Path.Combine(folder.Path, "model", "link.bin"), "../weights.bin");
        File.CreateSymbolicLink(Path.Combine(folder.Path, "model", "linked"), folder.Path);
        File.CreateSymbolicLink(Path.Combine(folder.Path, "model", "turning"), "turning");
        var path = Save(folder, location, offset, length, "model/model.onnx");

        var refused = Assert.Throws<TransformRejectedException>(() => OnnxFile.Read(path));

        Assert.Equal("invalid-external-data", refused.Code);
        Assert.Contains("initializer 'w'", refused.Message, StringComparison.Ordinal);
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Follows_links_that_stay_in_the_folder()
    {
        using var folder = new TemporaryFolder();
        folder.Write("blobs/1234", Floats(1, 2));
        File.CreateSymbolicLink(Path.Combine(folder.Path, "weights.bin"), "blobs/1234");

        Assert.Equal([1, 2], OnnxFile.Read(Save(folder, "weights.bin", null, null)).Graph.Find("w")!.Constant!.As<float>().ToArray());
    }

    [Fact]
    public void Nothing_is_measured_of_an_upload_that_points_to_other_files()
    {
        using var folder = new TemporaryFolder();
        var proto = OnnxFileTests.Sound();
        Move(proto.Graph.Initializer[0], "weights.bin", "0", "8");
        folder.Write("data/x.npy", ArrayWriter.Npy<float>("<f4", [1, 2], 1, 2));
        var data = Dataset.Open(Path.Combine(folder.Path, "data"));

        foreach (var (model, reference) in new[] { (proto.ToByteArray(), OnnxFileTests.Sound().ToByteArray()), (OnnxFileTests.Sound().ToByteArray(), proto.ToByteArray()) })
        {
            var refused = Assert.Throws<TransformRejectedException>(() => Evaluation.Compare(model, reference, data, cancellation: TestContext.Current.CancellationToken));
            Assert.Equal("external-data-unsupported", refused.Code);
        }
    }

    [Fact]
    public void Takes_no_byte_of_a_file_twice()
    {
        // A thousand tensors that overlap would ask for a thousand times the file.
        using var folder = new TemporaryFolder();
        folder.Write("weights.bin", Floats(1, 2, 3));
        var proto = OnnxFileTests.Sound();
        Move(proto.Graph.Initializer[0], "weights.bin", "0", null);
        var next = proto.Graph.Initializer[0].Clone();
        next.Name = "v";
        Move(next, "weights.bin", "4", null);
        proto.Graph.Initializer.Add(next);
        var path = folder.Write("model.onnx", proto.ToByteArray());

        var refused = Assert.Throws<TransformRejectedException>(() => OnnxFile.Read(path));

        Assert.Equal("invalid-external-data", refused.Code);
        Assert.Contains("initializer 'v': its content is in another file, and the tensors in 'weights.bin' overlap", refused.Message, StringComparison.Ordinal);
    }

    private static string Save(TemporaryFolder folder, string location, string? offset, string? length, string name = "model.onnx")
    {
        var proto = OnnxFileTests.Sound();
        Move(proto.Graph.Initializer[0], location, offset, length);
        return folder.Write(name, proto.ToByteArray());
    }

    private static void Move(TensorProto tensor, string location, string? offset, string? length)
    {
        tensor.ClearRawData();
        tensor.DataLocation = TensorProto.Types.DataLocation.External;
        tensor.ExternalData.Clear();
        tensor.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = location });
        if (offset is not null)
            tensor.ExternalData.Add(new StringStringEntryProto { Key = "offset", Value = offset });
        if (length is not null)
            tensor.ExternalData.Add(new StringStringEntryProto { Key = "length", Value = length });
    }

    private static NodeProto Constant(string output, TensorProto content) =>
        new() { OpType = "Constant", Output = { output }, Attribute = { new AttributeProto { Name = "value", Type = AttributeProto.Types.AttributeType.Tensor, T = content } } };

    private static byte[] Floats(params float[] values) => System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values).ToArray();
}
