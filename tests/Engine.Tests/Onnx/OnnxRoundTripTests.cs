using TinyMLaaS.Engine.Onnx;

namespace TinyMLaaS.Engine.Tests.Onnx;

public sealed class OnnxRoundTripTests
{
    public static IEnumerable<TheoryDataRow<string>> Files => SharedModels.All;

    [Theory]
    [MemberData(nameof(Files))]
    public void Written_networks_give_what_the_original_gives(string file)
    {
        var path = SharedModels.Find(file);
        var original = File.ReadAllBytes(path);
        var model = OnnxFile.Read(path);
        Assert.Empty(model.Graph.Verify());

        var written = OnnxFile.ToBytes(model);

        var inputs = Oracle.Inputs(original, seed: 1, path);
        // The same nodes in the same order on the same numbers: nothing may differ.
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(written, inputs), 0, 0);
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void Writing_what_was_written_gives_the_same_bytes(string file)
    {
        var once = OnnxFile.ToBytes(OnnxFile.Read(SharedModels.Find(file)));

        Assert.Equal(once, OnnxFile.ToBytes(OnnxFile.Read(once)));
    }
}
