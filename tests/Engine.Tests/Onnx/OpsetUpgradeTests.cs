using Google.Protobuf;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.Onnx;

public sealed class OpsetUpgradeTests
{
    public static IEnumerable<TheoryDataRow<string>> Files => SharedModels.All;

    [Theory]
    [MemberData(nameof(Files))]
    public void Upgraded_networks_give_what_the_original_gives(string file)
    {
        var path = SharedModels.Find(file);
        var original = File.ReadAllBytes(path);
        var model = OnnxFile.Read(path);

        OpsetUpgrade.Apply(model);

        Assert.Empty(model.Graph.Verify());
        Assert.True(model.Opset >= 13);
        var inputs = Oracle.Inputs(original, seed: 2, path);
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 1e-6f, 1e-7f);
    }

    // Each line stands for one change of meaning between 7 and 13; the runtime's kernels of the old version are the reference.
    [Theory]
    [InlineData(9, "float[2,3,4]", "y = Softmax(x)")]
    [InlineData(9, "float[2,3,4]", "y = Softmax(x) axis=2")]
    [InlineData(11, "float[2,3,4]", "y = LogSoftmax(x) axis=-2")]
    [InlineData(9, "float[2,3,1,1]", "y = Softmax(x)")]
    [InlineData(11, "float[2,3,4]", "y = Softmax(x) axis=0")]
    [InlineData(12, "float[2,3,4]", "y = Hardmax(x) axis=1")]
    [InlineData(7, "float[2,3]", "y = Clip(x) min=-0.25 max=0.5")]
    [InlineData(9, "float[2,3]", "y = Clip(x) max=0.25")]
    [InlineData(9, "float[2,3]", "y = Clip(x)")]
    [InlineData(9, "float[2,3,4]", "y = Pad(x) pads=[0,1,0,0,2,1] value=0.5")]
    [InlineData(10, "float[1,1,4,4]", "y = Pad(x) pads=[0,0,1,1,0,0,2,1] mode=\"reflect\"")]
    [InlineData(9, "float[4,5]", "y = Slice(x) starts=[1,-3] ends=[3,2147483647] axes=[0,1]")]
    [InlineData(9, "float[4,5]", "y = Slice(x) starts=[1,2] ends=[3,4]")]
    [InlineData(7, "float[1,2,3,3]", "y = Upsample(x) scales=[1.0,1.0,2.0,3.0] mode=\"nearest\"")]
    [InlineData(8, "float[1,2,3,4]", "y = Upsample(x) scales=[1.0,1.0,2.0,2.0] mode=\"linear\"")]
    [InlineData(11, "float[2,6]", "a, b = Split(x) axis=1 split=[2,4]\ny = Mul(a, a)")]
    [InlineData(9, "float[2,1,3,1]", "y = Squeeze(x) axes=[1]")]
    [InlineData(9, "float[2,1,3,1]", "y = Squeeze(x)")]
    [InlineData(9, "float[2,3]", "y = Unsqueeze(x) axes=[0,3]")]
    [InlineData(11, "float[2,3,4]", "y = ReduceSum(x) axes=[-1,0] keepdims=0")]
    [InlineData(11, "float[2,3,4]", "y = ReduceSum(x)")]
    [InlineData(9, "float[2,8]", "y, i = TopK(x) k=3")]
    [InlineData(7, "float[2,8]", "y = Dropout(x) ratio=0.5")]
    public void Keeps_what_an_old_operator_computes(long opset, string type, string nodes)
    {
        var text = $"in x: {type}\n{nodes}\nout y";
        var original = OnnxFile.ToBytes(GraphText.Parse(text, opset));
        var model = GraphText.Parse(text, opset);

        Assert.True(OpsetUpgrade.Apply(model));

        Assert.Empty(model.Graph.Verify());
        Assert.Equal(13, model.Opset);
        var inputs = Oracle.Inputs(original, seed: 3);
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 1e-6f, 1e-7f);
    }

    [Theory]
    [InlineData(9, "const s: float[4] = 1 1 2 2\ny = Upsample(x, s) mode=\"nearest\"")]
    [InlineData(9, "const h: float[4] = 1 1 2.5 1\ns = Relu(h)\ny = Upsample(x, s) mode=\"nearest\"")]
    [InlineData(10, "const s: float[4] = 1 1 2 2\ny = Resize(x, s) mode=\"nearest\"")]
    [InlineData(10, "const s: float[4] = 1 1 0.6 0.4\ny = Resize(x, s) mode=\"nearest\"")]
    [InlineData(10, "const s: float[4] = 1 1 1.5 2.5\ny = Resize(x, s) mode=\"linear\"")]
    [InlineData(10, "const s: float[4] = 1 1 0.5 0.7\ny = Resize(x, s) mode=\"linear\"")]
    [InlineData(11, "const s: float[4] = 1 1 0.5 0.7\nconst r: float[0] ~ 1\ny = Resize(x, r, s) coordinate_transformation_mode=\"tf_half_pixel_for_nn\"")]
    [InlineData(11, "const s: float[4] = 1 1 2.6 3\nconst r: float[0] ~ 1\ny = Resize(x, r, s) coordinate_transformation_mode=\"tf_half_pixel_for_nn\"")]
    [InlineData(11, "const s: float[4] = 1 1 0.6 0.3\nconst r: float[0] ~ 1\ny = Resize(x, r, s) coordinate_transformation_mode=\"tf_half_pixel_for_nn\" nearest_mode=\"floor\"")]
    [InlineData(12, "const s: float[4] = 1 1 2.3 1.7\nconst r: float[0] ~ 1\ny = Resize(x, r, s) coordinate_transformation_mode=\"tf_half_pixel_for_nn\" nearest_mode=\"floor\"")]
    public void Keeps_which_pixels_a_resize_takes(long opset, string nodes)
    {
        var text = $"in x: float[1,2,5,7]\n{nodes}\nout y";
        var original = OnnxFile.ToBytes(GraphText.Parse(text, opset));
        var model = GraphText.Parse(text, opset);

        OpsetUpgrade.Apply(model);

        var inputs = Oracle.Inputs(original, seed: 4);
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 1e-6f, 1e-7f);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Keeps_what_a_scan_computes_for_every_entry_of_its_batch(long direction)
    {
        byte[] Bytes(bool isUpgraded)
        {
            var model = GraphText.Parse("in h: float[2,3]\nin x: float[2,5,3]\nin k: float[3]\nc = Neg(k)\nlast, all = Scan(, h, x) @scan num_scan_inputs=1\ny = Relu(last)\nout y\nout all", 8, ir: 6);
            var body = new Graph("body");
            var state = body.AddInput("state");
            var element = body.AddInput("element");
            var scaled = body.AddNode("Mul", [state, model.Graph.Find("c")], "scaled");
            var sum = body.AddNode("Add", [scaled, element], "sum");
            body.AddOutput(sum);
            body.AddOutput(body.AddNode("Identity", [sum], "copy"));
            var scan = model.Graph.Nodes.Single(n => n.Is("Scan"));
            scan.Set("body", new AttributeValue.Subgraph(body));
            scan.Set("directions", new AttributeValue.Ints([direction]));
            Assert.Empty(model.Graph.Verify());
            if (isUpgraded)
            {
                Assert.True(OpsetUpgrade.Apply(model));
                Assert.Empty(model.Graph.Verify());
            }
            return OnnxFile.ToBytes(model);
        }
        var original = Bytes(false);

        var upgraded = Bytes(true);

        var inputs = Oracle.Inputs(original, seed: 9);
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(upgraded, inputs), 0, 0);
    }

    [Theory]
    [InlineData("Relu", 12)]
    [InlineData("Relu", 11)]
    public void Raises_functions_whose_operators_are_the_same(string op, long opset)
    {
        var original = WithFunction(op, opset);
        var model = OnnxFile.Read(original);

        OpsetUpgrade.Apply(model);

        var inputs = Oracle.Inputs(original, seed: 3);
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 0, 0);
    }

    [Fact]
    public void Refuses_functions_that_would_have_to_be_rewritten()
    {
        var refused = Assert.Throws<TransformRejectedException>(() => OpsetUpgrade.Apply(OnnxFile.Read(WithFunction("Softmax", 12))));

        Assert.Equal("unsupported-opset-upgrade", refused.Code);
        Assert.Contains("function 'own_relu' uses Softmax", refused.Message, StringComparison.Ordinal);
    }

    /// <summary>y = own_relu(-x)</summary>
    private static byte[] WithFunction(string op, long opset)
    {
        var proto = ModelProto.Parser.ParseFrom(OnnxFile.ToBytes(GraphText.Parse("in x: float[2,3]\na = Neg(x)\ny = test.own:own_relu(a)\nout y", opset)));
        proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "test.own", Version = 1 });
        proto.Functions.Add(new FunctionProto
        {
            Name = "own_relu",
            Domain = "test.own",
            Input = { "i" },
            Output = { "o" },
            OpsetImport = { new OperatorSetIdProto { Version = opset } },
            Node = { new NodeProto { OpType = op, Input = { "i" }, Output = { "o" } } },
        });
        return proto.ToByteArray();
    }

    [Theory]
    [InlineData(8, "y = BatchNormalization(x, x, x, x, x) @bn spatial=0", "'bn' (BatchNormalization)")]
    [InlineData(9, "y, m = Dropout(x) @drop\nz = Not(m)", "'drop' (Dropout)")]
    [InlineData(10, "s = Abs(x)\ny = Resize(x, s) @grow mode=\"nearest\"", "'grow' (Resize)")]
    [InlineData(11, "const s: float[1] = 2\ny = Resize(x, , s) @half coordinate_transformation_mode=\"tf_half_pixel_for_nn\" mode=\"linear\"", "'half' (Resize): its coordinates tf_half_pixel_for_nn are gone, and those of the mode 'linear' have no counterpart")]
    [InlineData(11, "const s: float[1] = 2\ny = Resize(x, , s) @half coordinate_transformation_mode=\"tf_half_pixel_for_nn\" nearest_mode=\"ceil\"", "'half' (Resize): its coordinates tf_half_pixel_for_nn are gone, and rounded by 'ceil' they have no counterpart")]
    [InlineData(8, "y = Scan(x, x, x) @scan num_scan_inputs=1", "'scan' (Scan): its sequence lengths 'x' are gone")]
    [InlineData(8, "y = Scan(, x, x) @scan num_scan_inputs=1", "'scan' (Scan): its inputs or its body are not as a Scan has them")]
    [InlineData(11, "y = Wobble(x) @new", "'new' (Wobble)")]
    public void Refuses_what_has_no_certain_equivalent(long opset, string nodes, string culprit)
    {
        var model = GraphText.Parse($"in x: float[4]\n{nodes}\nout y", opset);

        var refused = Assert.Throws<TransformRejectedException>(() => OpsetUpgrade.Apply(model));

        Assert.Equal("unsupported-opset-upgrade", refused.Code);
        Assert.Contains(culprit, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Names_every_node_that_stands_in_the_way()
    {
        var model = GraphText.Parse("in x: float[4]\na = Wobble(x) @one\ny = Wobble(a) @two\nout y", 11);

        var refused = Assert.Throws<TransformRejectedException>(() => OpsetUpgrade.Apply(model));

        Assert.Contains("'one'", refused.Message, StringComparison.Ordinal);
        Assert.Contains("'two'", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Leaves_opset_13_alone()
    {
        var model = GraphText.Parse("in x: float[4,4]\ny = Softmax(x) axis=0\nout y", 13);
        var before = GraphText.Dump(model);

        Assert.False(OpsetUpgrade.Apply(model));

        Assert.Equal(before, GraphText.Dump(model));
    }

    [Fact]
    public void Initializers_stop_being_inputs_below_ir_4_only()
    {
        const string text = "in w: float[2]\nconst w: float[2] = 1 2\nin x: float[2]\ny = Add(x, w)\nout y";
        var old = GraphText.Parse(text, 8, ir: 3);
        var overridable = GraphText.Parse(text, 8, ir: 4);

        OpsetUpgrade.Apply(old);
        OpsetUpgrade.Apply(overridable);

        Assert.Equal(["x"], old.Graph.Inputs.Select(i => i.Name));
        Assert.True(old.IrVersion >= 4);
        Assert.Equal(["w", "x"], overridable.Graph.Inputs.Select(i => i.Name));
    }
}
