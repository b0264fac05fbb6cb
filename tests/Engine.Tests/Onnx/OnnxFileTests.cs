using Google.Protobuf;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.Onnx;

public sealed class OnnxFileTests
{
    [Theory]
    [MemberData(nameof(BrokenModels))]
    public void Refuses_a_broken_model_and_names_the_culprit(string code, string culprit)
    {
        var breakIt = Breaks.Single(b => b.Culprit == culprit).Break;
        var proto = Sound();
        Assert.NotNull(OnnxFile.Read(proto.ToByteArray()));
        breakIt(proto);

        var refused = Assert.Throws<TransformRejectedException>(() => OnnxFile.Read(proto.ToByteArray()));

        Assert.Equal(code, refused.Code);
        Assert.Contains(culprit, refused.Message, StringComparison.Ordinal);
    }

    public static IEnumerable<TheoryDataRow<string, string>> BrokenModels => Breaks.Select(b => new TheoryDataRow<string, string>(b.Code, b.Culprit));

    private static readonly (string Code, string Culprit, Action<ModelProto> Break)[] Breaks =
    [
        ("invalid-model", "no graph", p => p.Graph = null),
        ("invalid-model", "no IR version", p => p.ClearIrVersion()),
        ("unsupported-ir-version", "IR version 14", p => p.IrVersion = 14),
        ("unsupported-opset", "its opset is 27", p => p.OpsetImport[0].Version = 27),
        ("unsupported-opset", "its opset is 6", p => p.OpsetImport[0].Version = 6),
        ("unsupported-opset", "no opset is stated", p => p.OpsetImport.Clear()),
        ("invalid-model", "version 13 and version 14", p => p.OpsetImport.Add(new OperatorSetIdProto { Domain = "ai.onnx", Version = 14 })),
        ("invalid-model", "'mul' (Mul) reads 'nowhere'", p => p.Graph.Node[0].Input[1] = "nowhere"),
        ("invalid-model", "'a' of an output of node 'neg' (Neg) is given twice", p => p.Graph.Node[1].Output[0] = "a"),
        ("invalid-model", "two initializers named 'w'", p => p.Graph.Initializer.Add(p.Graph.Initializer[0].Clone())),
        ("invalid-model", "an initializer has no name", p => p.Graph.Initializer[0].ClearName()),
        ("invalid-model", "has a cycle", p => p.Graph.Node[0].Input[1] = "y"),
        ("invalid-model", "nothing makes its output 'z'", p => p.Graph.Output[0].Name = "z"),
        ("invalid-model", "'y' is an output twice", p => p.Graph.Output.Add(p.Graph.Output[0].Clone())),
        ("invalid-model", "names no operator", p => p.Graph.Node[0].ClearOpType()),
        ("invalid-model", "makes nothing", p => p.Graph.Node.Add(new NodeProto { OpType = "Neg", Input = { "a" } })),
        ("invalid-model", "two attributes named 'k'", p => p.Graph.Node[0].Attribute.Add([new AttributeProto { Name = "k", I = 1 }, new AttributeProto { Name = "k", I = 2 }])),
        ("invalid-model", "attribute 'k' has no type and no value", p => p.Graph.Node[0].Attribute.Add(new AttributeProto { Name = "k" })),
        ("invalid-model", "'k' says that it holds a Graph and holds none", p => p.Graph.Node[0].Attribute.Add(new AttributeProto { Name = "k", Type = AttributeProto.Types.AttributeType.Graph })),
        ("invalid-model", "'mul' (Mul) reads 'z', which nothing makes", p => p.Graph.Node[0].Attribute.Add(new AttributeProto { Name = "k", Graphs = { new GraphProto { Name = "inner", Output = { new ValueInfoProto { Name = "z" } } } }, Type = AttributeProto.Types.AttributeType.Graphs })),
        ("unsupported-model", "function 'Neg' gives an operator of ONNX another meaning", p => p.Functions.Add(new FunctionProto { Name = "Neg", Domain = "ai.onnx" })),
        ("invalid-model", "sparse initializer 's': it has no values or no indices", p => p.Graph.SparseInitializer.Add(new SparseTensorProto { Values = Values(0) })),
        ("invalid-model", "sparse initializer 's': index 1 is out of range", p => p.Graph.SparseInitializer.Add(Sparse([4], 2, 1))),
        ("invalid-model", "sparse initializer 's': index 0 is out of range", p => p.Graph.SparseInitializer.Add(Sparse([4], 4))),
        ("invalid-model", "sparse initializer 's': index -1 is out of axis 0", p => p.Graph.SparseInitializer.Add(new SparseTensorProto { Dims = { 1, 4 }, Values = Values(1), Indices = new TensorProto { DataType = 7, Dims = { 1, 2 }, Int64Data = { -1, 0 } } })),
        ("invalid-model", "do not go together in 1 dimensions", p => p.Graph.SparseInitializer.Add(new SparseTensorProto { Dims = { 4 }, Values = Values(2), Indices = new TensorProto { DataType = 7, Dims = { 1 }, Int64Data = { 1 } } })),
        ("invalid-model", "[-4] is no shape", p => p.Graph.SparseInitializer.Add(Sparse([-4], 1))),
        ("unsupported-model", "take more than 33554432 bytes as dense ones", p => p.Graph.SparseInitializer.Add(Sparse([1L << 40], 1))),
        ("invalid-model", "initializer 'w': a Float tensor of shape [2] takes 8 bytes, and the file holds 7", p => p.Graph.Initializer[0].RawData = ByteString.CopyFrom(new byte[7])),
        ("invalid-model", "initializer 'w': a Float tensor of shape [2000000000] takes 8000000000 bytes", p => p.Graph.Initializer[0].Dims[0] = 2_000_000_000),
        ("invalid-model", "initializer 'w': [4611686018427387904,4611686018427387904] is no shape", p => p.Graph.Initializer[0].Dims.Add([1L << 62, 1L << 62], 1)),
        ("invalid-model", "initializer 'w': [-2] is no shape", p => p.Graph.Initializer[0].Dims[0] = -2),
        ("invalid-model", "initializer 'w': 99 is no element type", p => p.Graph.Initializer[0].DataType = 99),
        ("invalid-model", "initializer 'w': a Float tensor of shape [2] takes 2 floats, and the file holds 0", p => p.Graph.Initializer[0].ClearRawData()),
        ("external-data-unsupported", "initializer 'w': its content is in another file", p => p.Graph.Initializer[0].DataLocation = TensorProto.Types.DataLocation.External),
        ("invalid-model", "input 'w' is declared as Int64, and its default is Float", p => p.Graph.Input.Add(new ValueInfoProto { Name = "w", Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = 7 } } })),
        ("invalid-model", "type of 'x': 77 is no element type", p => p.Graph.Input[0].Type.TensorType.ElemType = 77),
    ];

    [Fact]
    public void Refuses_bytes_that_are_no_protobuf()
    {
        var refused = Assert.Throws<TransformRejectedException>(() => OnnxFile.Read("%PDF-1.7 something else"u8.ToArray()));

        Assert.Equal("invalid-model", refused.Code);
    }

    [Fact]
    public void Sorts_nodes_that_stand_after_their_readers()
    {
        var proto = Sound();
        var first = proto.Graph.Node[0];
        proto.Graph.Node.RemoveAt(0);
        proto.Graph.Node.Add(first);

        Assert.Equal(["Mul", "Neg"], OnnxFile.Read(proto.ToByteArray()).Graph.Nodes.Select(n => n.OpType));
    }

    [Fact]
    public void Reads_a_claim_of_gigabytes_without_taking_them()
    {
        var proto = Sound();
        proto.Graph.Initializer[0].Dims[0] = 500_000_000;
        proto.Graph.Initializer[0].ClearRawData();
        var bytes = proto.ToByteArray();
        var before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Throws<TransformRejectedException>(() => OnnxFile.Read(bytes));

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Fact]
    public void What_the_graph_has_no_member_for_survives()
    {
        var proto = Sound();
        proto.ProducerName = "pytorch";
        proto.DocString = "about";
        proto.MetadataProps.Add(new StringStringEntryProto { Key = "author", Value = "someone" });
        proto.TrainingInfo.Add(ByteString.CopyFromUtf8("\u0001x"));
        proto.Functions.Add(new FunctionProto { Name = "f", Domain = "own", Node = { new NodeProto { OpType = "Neg", Input = { "i" }, Output = { "o" } } } });
        proto.Graph.DocString = "graph";
        proto.Graph.MetadataProps.Add(new StringStringEntryProto { Key = "g", Value = "1" });
        proto.Graph.Node[0].MetadataProps.Add(new StringStringEntryProto { Key = "n", Value = "2" });
        proto.Graph.Node[0].Attribute.Add(new AttributeProto { Name = "type", Type = AttributeProto.Types.AttributeType.TypeProto, Tp = new TypeProto { Denotation = "d" } });
        proto.Graph.Node[0].Attribute.Add(new AttributeProto { Name = "bytes", Type = AttributeProto.Types.AttributeType.String, S = ByteString.CopyFrom(0xff, 0xfe) });
        proto.Graph.Node[1].Attribute.Add(new AttributeProto { Name = "alike", Type = AttributeProto.Types.AttributeType.Graphs, DocString = "two", Graphs = { Inner("one"), Inner("two") } });
        proto.Graph.Node[0].Attribute.Add(new AttributeProto { Name = "tensor", Type = AttributeProto.Types.AttributeType.Tensor, DocString = "what for", T = new TensorProto { Name = "t", DocString = "told", DataType = 6, Dims = { 1 }, RawData = ByteString.CopyFrom(1, 0, 0, 0) } });
        proto.Graph.Initializer[0].DocString = "trained";
        proto.Graph.Initializer[0].MetadataProps.Add(new StringStringEntryProto { Key = "source", Value = "3" });
        proto.Graph.Input[0].DocString = "the input";
        proto.Graph.Input[0].Type.Denotation = "IMAGE";
        proto.Graph.Input[0].Type.TensorType.Shape.Dim[0].Denotation = "DATA_BATCH";
        proto.Graph.ValueInfo.Add(new ValueInfoProto { Name = "a", Type = proto.Graph.Input[0].Type.Clone(), DocString = "inner" });
        proto.Graph.Output.Add(new ValueInfoProto { Name = "s", Type = new TypeProto { SequenceType = new TypeProto.Types.Sequence { ElemType = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = 1 } } } } });
        proto.Graph.Node.Add(new NodeProto { OpType = "SequenceConstruct", Input = { "a" }, Output = { "s" } });
        // A field of a later release.
        var bytes = proto.ToByteArray().Concat(new byte[] { 0xc2, 0x3e, 0x02, 0x41, 0x42 }).ToArray();
        var expected = ModelProto.Parser.ParseFrom(bytes);
        foreach (var node in expected.Graph.Node)
        {
            // Attributes are written in the order of their names.
            var sorted = node.Attribute.OrderBy(a => a.Name, StringComparer.Ordinal).ToArray();
            node.Attribute.Clear();
            node.Attribute.Add(sorted);
        }

        Assert.Equal(expected, ModelProto.Parser.ParseFrom(OnnxFile.ToBytes(OnnxFile.Read(bytes))));
    }

    [Theory]
    [InlineData(ElementType.Float)]
    [InlineData(ElementType.Double)]
    [InlineData(ElementType.Int64)]
    [InlineData(ElementType.Int32)]
    [InlineData(ElementType.Int8)]
    [InlineData(ElementType.UInt16)]
    [InlineData(ElementType.UInt32)]
    [InlineData(ElementType.UInt64)]
    [InlineData(ElementType.Bool)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.Int4)]
    public void Typed_lists_hold_the_same_as_raw_bytes(ElementType type)
    {
        // The numbers 1, 0, 1 in each list that the format knows; float16 as its bit pattern, int4 as two nibbles a number.
        var proto = new TensorProto { DataType = (int)type, Dims = { 3 } };
        switch (type)
        {
            case ElementType.Float: proto.FloatData.Add([1, 0, 1]); break;
            case ElementType.Double: proto.DoubleData.Add([1, 0, 1]); break;
            case ElementType.Int64: proto.Int64Data.Add([1, 0, 1]); break;
            case ElementType.UInt32 or ElementType.UInt64: proto.Uint64Data.Add([1, 0, 1]); break;
            case ElementType.Float16: proto.Int32Data.Add([0x3c00, 0, 0x3c00]); break;
            case ElementType.Int4: proto.Int32Data.Add([0x01, 0x01]); break;
            default: proto.Int32Data.Add([1, 0, 1]); break;
        }
        byte[] raw = type switch
        {
            ElementType.Float => [0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0, 0, 0x80, 0x3f],
            ElementType.Double => [0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
            ElementType.Int64 or ElementType.UInt64 => [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
            ElementType.Int32 or ElementType.UInt32 => [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            ElementType.UInt16 => [1, 0, 0, 0, 1, 0],
            ElementType.Float16 => [0, 0x3c, 0, 0, 0, 0x3c],
            ElementType.Int4 => [1, 1],
            _ => [1, 0, 1],
        };

        Assert.Equal(raw, TensorReader.Read(proto, "t").Bytes.ToArray());
    }

    [Fact]
    public void A_nested_graph_may_give_a_name_again_and_read_what_is_around()
    {
        // 'a' inside is another value than 'a' outside; the else branch returns a value of the graph around as it is.
        var proto = Sound();
        proto.Graph.Initializer.Add(new TensorProto { Name = "flag", DataType = 9, RawData = ByteString.CopyFrom(1) });
        var then = new GraphProto { Name = "then", Node = { new NodeProto { OpType = "Neg", Input = { "x" }, Output = { "a" } } }, Output = { new ValueInfoProto { Name = "a" } } };
        var otherwise = new GraphProto { Name = "else", Output = { new ValueInfoProto { Name = "a" } } };
        proto.Graph.Node.Insert(0, new NodeProto
        {
            OpType = "If",
            Input = { "flag" },
            Output = { "i" },
            Attribute =
            {
                new AttributeProto { Name = "then_branch", Type = AttributeProto.Types.AttributeType.Graph, G = then },
                new AttributeProto { Name = "else_branch", Type = AttributeProto.Types.AttributeType.Graph, G = otherwise },
            },
        });
        proto.Graph.Output.Add(new ValueInfoProto { Name = "i", Type = proto.Graph.Input[0].Type.Clone() });

        var model = OnnxFile.Read(proto.ToByteArray());

        Assert.Empty(model.Graph.Verify());
        Assert.Equal(["Mul", "If", "Neg"], model.Graph.Nodes.Select(n => n.OpType));
        var bytes = OnnxFile.ToBytes(model);
        var inputs = Oracle.Inputs(bytes, seed: 1);
        var x = inputs["x"].GetTensorDataAsSpan<float>().ToArray();
        Assert.Equal(x.Select(v => -v), Oracle.Run(bytes, inputs)["i"]);
    }

    [Theory]
    [InlineData(new long[] { 2 }, new long[] { 1 })]
    [InlineData(new long[] { 2 }, new long[] { 0, 1 })]
    [InlineData(new long[] { 3, 2 }, new long[] { 1, 2, 5 })]
    [InlineData(new long[] { 2 }, new long[0])]
    public void Sparse_initializers_become_dense(long[] shape, long[] places)
    {
        var proto = Sound();
        proto.Graph.SparseInitializer.Add(Sparse(shape, places));
        proto.Graph.Node[0].Input[1] = "s";
        var original = proto.ToByteArray();

        var written = OnnxFile.ToBytes(OnnxFile.Read(original));

        var expected = new float[shape.Aggregate(1L, (a, b) => a * b)];
        foreach (var (place, number) in places.Select((p, i) => (p, i + 1)))
            expected[place] = number;
        Assert.Equal(expected, OnnxFile.Read(written).Graph.Find("s")!.Constant!.As<float>().ToArray());
        var inputs = Oracle.Inputs(original, seed: 9);
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(written, inputs), 0, 0);
    }

    [Fact]
    public void Sparse_initializers_may_state_every_axis()
    {
        var proto = Sound();
        proto.Graph.SparseInitializer.Add(new SparseTensorProto { Dims = { 3, 2 }, Values = Values(2), Indices = new TensorProto { DataType = 7, Dims = { 2, 2 }, Int64Data = { 0, 1, 2, 0 } } });

        Assert.Equal([0, 1, 0, 0, 2, 0], OnnxFile.Read(proto.ToByteArray()).Graph.Find("s")!.Constant!.As<float>().ToArray());
    }

    [Fact]
    public void A_list_of_nested_graphs_is_part_of_the_graph()
    {
        // What one of them reads must stay, and must be made before.
        var proto = Sound();
        proto.Graph.Node.Insert(0, new NodeProto { OpType = "Any", Domain = "own", Input = { "x" }, Output = { "o" }, Attribute = { new AttributeProto { Name = "branches", Type = AttributeProto.Types.AttributeType.Graphs, Graphs = { Inner("one") } } } });
        proto.Graph.Output.Add(new ValueInfoProto { Name = "o" });
        proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "own", Version = 1 });

        var model = OnnxFile.Read(proto.ToByteArray());

        Assert.Empty(model.Graph.Verify());
        Assert.Equal(["Mul", "Any", "Neg"], model.Graph.Nodes.Select(n => n.OpType));
        Assert.Equal(2, model.Graph.Find("a")!.Uses.Count);
        model.Graph.Nodes.Single(n => n.OpType == "Any").Set("branches", null);
        Assert.Single(model.Graph.Find("a")!.Uses);
    }

    [Fact]
    public void Half_floats_and_classic_operators_give_what_the_original_gives()
    {
        var proto = Sound();
        proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "ai.onnx.ml", Version = 3 });
        proto.Graph.Initializer.Add(new TensorProto { Name = "h", DataType = 10, Dims = { 1, 2 }, Int32Data = { 0x3e00, 0xc100 } });
        proto.Graph.Node.Add(
        [
            new NodeProto { OpType = "Cast", Input = { "y" }, Output = { "c" }, Attribute = { new AttributeProto { Name = "to", Type = AttributeProto.Types.AttributeType.Int, I = 10 } } },
            new NodeProto { OpType = "Mul", Input = { "c", "h" }, Output = { "p" } },
            new NodeProto { OpType = "Cast", Input = { "p" }, Output = { "f" }, Attribute = { new AttributeProto { Name = "to", Type = AttributeProto.Types.AttributeType.Int, I = 1 } } },
            new NodeProto
            {
                OpType = "LinearRegressor",
                Domain = "ai.onnx.ml",
                Input = { "f" },
                Output = { "r" },
                Attribute =
                {
                    new AttributeProto { Name = "coefficients", Type = AttributeProto.Types.AttributeType.Floats, Floats = { 2, -3 } },
                    new AttributeProto { Name = "intercepts", Type = AttributeProto.Types.AttributeType.Floats, Floats = { 0.5f } },
                },
            },
        ]);
        proto.Graph.Output.Add(new ValueInfoProto { Name = "r", Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = 1 } } });
        var original = proto.ToByteArray();
        var model = OnnxFile.Read(original);
        PassRunner.Run(model, FusePasses.All, PassContext.Default);

        var inputs = Oracle.Inputs(original, seed: 2);
        Oracle.AssertClose(Oracle.Run(original, inputs), Oracle.Run(OnnxFile.ToBytes(model), inputs), 0, 0);
    }

    [Fact]
    public void A_hundred_thousand_nodes_are_read_verified_and_fused()
    {
        // One constant read by all: what costs more than linear time shows here.
        var proto = Sound();
        proto.Graph.Node.Clear();
        for (var i = 0; i < 100_000; i++)
            proto.Graph.Node.Add(new NodeProto { OpType = i % 2 == 0 ? "Identity" : "Mul", Input = { i == 0 ? "x" : $"v{i - 1}" }, Output = { i == 99_999 ? "y" : $"v{i}" } });
        foreach (var node in proto.Graph.Node.Where(n => n.OpType == "Mul"))
            node.Input.Add("w");

        var model = OnnxFile.Read(proto.ToByteArray());
        PassRunner.Run(model, FusePasses.All, PassContext.Default);

        Assert.Equal(50_000, model.Graph.Count);
        Assert.Equal(50_000, model.Graph.Find("w")!.Uses.Count);
    }

    /// <summary>A sparse vector or matrix 's' of the numbers 1, 2, ... at these places.</summary>
    private static SparseTensorProto Sparse(long[] shape, params long[] places) =>
        new() { Dims = { shape }, Values = Values(places.Length), Indices = new TensorProto { DataType = 7, Dims = { places.Length }, Int64Data = { places } } };

    private static GraphProto Inner(string name) =>
        new() { Name = name, Node = { new NodeProto { OpType = "Neg", Input = { "a" }, Output = { name + "_out" } } }, Output = { new ValueInfoProto { Name = name + "_out" } } };

    private static TensorProto Values(int count) => new() { Name = "s", DataType = 1, Dims = { count }, FloatData = { Enumerable.Range(1, count).Select(v => (float)v) } };

    /// <summary>y = -(x * w)</summary>
    internal static ModelProto Sound() => ModelProto.Parser.ParseFrom(OnnxFile.ToBytes(GraphText.Parse("in x: float[2]\nconst w: float[2] = 1 2\na = Mul(x, w) @mul\ny = Neg(a) @neg\nout y")));
}

file static class RepeatedFields
{
    /// <summary>Replaces the content from its beginning: a shape of two huge extents.</summary>
    public static void Add(this Google.Protobuf.Collections.RepeatedField<long> field, long[] values, int dropped)
    {
        for (var i = 0; i < dropped; i++)
            field.RemoveAt(0);
        field.Add(values);
    }
}
