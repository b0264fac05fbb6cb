using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;

namespace TinyMLaaS.Engine.Tests.Graphs;

public sealed class ShapeInferenceTests
{
    public static IEnumerable<TheoryDataRow<string>> Files => SharedModels.All;

    [Theory]
    [MemberData(nameof(Files))]
    public void What_is_inferred_is_what_the_runtime_makes(string file)
    {
        var path = SharedModels.Find(file);
        var inferred = OnnxFile.Read(path);
        var types = ShapeInference.Of(inferred);
        var names = inferred.Graph.Nodes.SelectMany(n => n.Outputs).OfType<Value>().Where(v => v.OpaqueType is null).ToList();
        var probe = OnnxFile.Read(path);
        foreach (var value in probe.Graph.Nodes.SelectMany(n => n.Outputs).OfType<Value>().Where(v => !v.IsOutput).ToList())
        {
            probe.Graph.AddOutput(value);
            value.Shape = null;
            value.Type = ElementType.Undefined;
        }

        var bytes = OnnxFile.ToBytes(probe);
        using var session = Oracle.Open(bytes);
        using var run = new RunOptions();
        using var results = session.Run(run, Oracle.Inputs(File.ReadAllBytes(path), seed: 1, path), [.. names.Select(v => v.Name)]);

        var known = 0;
        for (var i = 0; i < names.Count; i++)
        {
            var type = types[names[i]];
            var actual = results[i].GetTensorTypeAndShape();
            if (type.Element != ElementType.Undefined)
                Assert.Equal((int)type.Element, (int)actual.ElementDataType);
            if (type.Shape is not { } shape)
                continue;
            Assert.True(shape.Length == actual.Shape.Length, $"{names[i]}: rank {shape.Length}, the runtime makes {actual.Shape.Length}");
            Assert.All(shape.Zip(actual.Shape), pair => Assert.True(pair.First.Value is null || pair.First.Value == pair.Second, $"{names[i]}: [{string.Join(',', shape)}], the runtime makes [{string.Join(',', actual.Shape)}]"));
            known++;
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{file}: {known} of {names.Count} known");
    }

    [Theory]
    [InlineData("y = Conv(x, w) kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]", "[N,4,4,5]")]
    [InlineData("y = Conv(x, w) auto_pad=\"SAME_UPPER\" strides=[2,2]", "[N,4,4,5]")]
    [InlineData("y = MaxPool(x) kernel_shape=[2,2] strides=[2,2] ceil_mode=1", "[N,3,4,?]")]
    [InlineData("y = Flatten(x)", "[N,216]")]
    [InlineData("const s: int64[2] = 0 -1\ny = Reshape(x, s)", "[N,216]")]
    [InlineData("const s: int64[2] = -1 216\ny = Reshape(x, s)", "[N,216]")]
    [InlineData("const s: int64[2] = -1 108\ny = Reshape(x, s)", "[?,108]")]
    [InlineData("y = Transpose(x) perm=[0,2,3,1]", "[N,8,9,3]")]
    [InlineData("const a: int64[1] = 0\ny = Unsqueeze(x, a)", "[1,N,3,8,9]")]
    [InlineData("y = ReduceMean(x) axes=[2,3] keepdims=0", "[N,3]")]
    [InlineData("y = Shape(x)", "[4]")]
    [InlineData("y = Concat(x, x) axis=1", "[N,6,8,9]")]
    [InlineData("y = Wobble(x)", "")]
    public void Keeps_what_is_not_certain_unknown(string nodes, string expected)
    {
        var model = GraphText.Parse($"in x: float[N,3,8,9]\nconst w: float[4,3,3,3] ~ 1\n{nodes}\nout y");

        var shape = ShapeInference.Of(model)[model.Graph.Outputs[0]].Shape;

        Assert.Equal(expected, shape is { } known ? $"[{string.Join(',', known)}]" : "");
    }
}
