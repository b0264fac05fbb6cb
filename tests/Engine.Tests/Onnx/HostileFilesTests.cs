using System.Runtime.InteropServices;
using Google.Protobuf;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Tests.Onnx;

/// <summary>Whatever a file holds: it is refused with a code, or read, fused and written, in little time and memory.</summary>
public sealed class HostileFilesTests
{
    // Of the processor and not of the clock, which what runs beside would count in; even so it takes longer where others use the same caches.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    [Theory]
    [InlineData("an If in an If, 40 deep", "invalid-model")]
    [InlineData("a type of a type, 10,000 deep", "invalid-model")]
    [InlineData("a shape of 100,000 axes through 10,000 nodes", "sound")]
    [InlineData("ranks that double with every Gather", "sound")]
    [InlineData("extents that overflow 64 bits", "sound")]
    [InlineData("an Expand of one number to 2 GiB", "sound")]
    [InlineData("a constant of 1 MiB turned 20,000 times", "sound")]
    [InlineData("20,000 normalizations behind one Conv of 1 MiB", "sound")]
    [InlineData("20,000 Ifs that give the same name", "sound")]
    [InlineData("20,000 Ifs, and 20,000 nodes that need new names", "sound")]
    [InlineData("a name of 1 MiB in 5,000 refusals", "sound")]
    [InlineData("100,000 nodes in reverse order", "sound")]
    [InlineData("a cycle of 100,000 nodes", "invalid-model")]
    [InlineData("100,000 nodes of which every third turns", "sound")]
    [InlineData("100,000 nodes that copies and twins join", "sound")]
    [InlineData("a node with 200,000 inputs", "sound")]
    public void A_file_made_to_exhaust_is_refused_or_soon_done(string what, string expected)
    {
        var file = Made(what);
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var before = ProcessorTime();

        var outcome = Outcome(file);

        var (seconds, bytes) = (ProcessorTime() - before, GC.GetAllocatedBytesForCurrentThread() - allocated);
        TestContext.Current.TestOutputHelper?.WriteLine($"{what}: {file.Length} bytes, {seconds.TotalMilliseconds:F0} ms, {bytes >> 20} MiB allocated");
        Assert.Equal(expected, outcome);
        Assert.True(seconds < Longest, $"{seconds}");
        // Linear in the file: objects of the graph and messages take some hundred bytes for a node of twenty.
        Assert.True(bytes < (512 << 20) + (400L * file.Length), $"{bytes >> 20} MiB");
    }

    private static byte[] Made(string what)
    {
        var proto = OnnxFileTests.Sound();
        var graph = proto.Graph;
        var nodes = graph.Node;
        nodes.Clear();
        graph.Output.Clear();
        void Return(string name) => graph.Output.Add(new ValueInfoProto { Name = name });
        void Chain(int count, Func<int, NodeProto> make)
        {
            for (var i = 0; i < count; i++)
            {
                var node = make(i);
                node.Input.Insert(0, i == 0 ? "x" : $"v{i - 1}");
                node.Output.Add($"v{i}");
                nodes.Add(node);
            }
            Return($"v{count - 1}");
        }
        void Start(string name, TensorProto content)
        {
            content.Name = name;
            graph.Initializer.Add(content);
        }
        TensorProto Numbers(params long[] values) => new() { DataType = 7, Dims = { values.Length }, Int64Data = { values } };
        TensorProto Zeros(params long[] shape) => new() { DataType = 1, Dims = { shape }, RawData = ByteString.CopyFrom(new byte[4 * shape.Aggregate(1L, (a, b) => a * b)]) };
        void Shape(params long[] extents)
        {
            graph.Input[0].Type.TensorType.Shape = new TensorShapeProto();
            graph.Input[0].Type.TensorType.Shape.Dim.Add(extents.Select(e => new TensorShapeProto.Types.Dimension { DimValue = e }));
        }
        NodeProto If(GraphProto branch, string output) => new()
        {
            OpType = "If",
            Input = { "x" },
            Output = { output },
            Attribute = { new AttributeProto { Name = "then_branch", Type = AttributeProto.Types.AttributeType.Graph, G = branch } },
        };
        NodeProto NoNames(NodeProto node)
        {
            node.Input.Clear();
            node.Output.Clear();
            return node;
        }
        GraphProto Branch(string name) => new() { Node = { new NodeProto { OpType = "Neg", Input = { "x" }, Output = { name } } }, Output = { new ValueInfoProto { Name = name } } };
        switch (what)
        {
            case "an If in an If, 40 deep":
                var branch = Branch("b");
                for (var i = 0; i < 40; i++)
                    branch = new GraphProto { Node = { If(branch, $"i{i}") }, Output = { new ValueInfoProto { Name = $"i{i}" } } };
                nodes.Add(If(branch, "y"));
                Return("y");
                break;
            case "a type of a type, 10,000 deep":
                // Written inside out: the library that writes messages would not.
                var type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = 1 } }.ToByteArray();
                for (var i = 0; i < 10_000; i++)
                    type = Field(4, Field(1, type));
                Return("x");
                // A message given twice is merged: the graph gets one more value.
                return [.. proto.ToByteArray(), .. Field(7, Field(13, Field(2, type)))];
            case "a shape of 100,000 axes through 10,000 nodes":
                Shape([.. Enumerable.Repeat(1L, 100_000)]);
                Chain(10_000, _ => new NodeProto { OpType = "Add", Input = { "x" } });
                break;
            case "ranks that double with every Gather":
                Shape(1, 1);
                Start("at", new TensorProto { DataType = 7, Dims = { 1, 1 }, Int64Data = { 0 } });
                Chain(1_000, i => new NodeProto { OpType = "Gather", Input = { i < 1 ? "at" : $"v{i - 1}" } });
                break;
            case "extents that overflow 64 bits":
                Shape(1L << 40, 1L << 40);
                Start("to", Numbers(long.MaxValue, long.MaxValue));
                nodes.Add(new NodeProto { OpType = "Reshape", Input = { "x", "to" }, Output = { "r" } });
                nodes.Add(new NodeProto { OpType = "Flatten", Input = { "x" }, Output = { "f" } });
                nodes.Add(new NodeProto { OpType = "MatMul", Input = { "x", "x" }, Output = { "m" } });
                nodes.Add(new NodeProto { OpType = "Tile", Input = { "x", "to" }, Output = { "t" } });
                nodes.Add(new NodeProto { OpType = "Size", Input = { "x" }, Output = { "s" } });
                foreach (var name in (string[])["r", "f", "m", "t", "s"])
                    Return(name);
                break;
            case "an Expand of one number to 2 GiB":
                Start("to", Numbers(500_000_000));
                Start("one", Zeros(1));
                nodes.Add(new NodeProto { OpType = "Expand", Input = { "one", "to" }, Output = { "e" } });
                nodes.Add(new NodeProto { OpType = "ConstantOfShape", Input = { "to" }, Output = { "c" } });
                nodes.Add(new NodeProto { OpType = "Add", Input = { "e", "c" }, Output = { "y" } });
                Return("y");
                break;
            case "a constant of 1 MiB turned 20,000 times":
                Start("k", Zeros(512, 512));
                Chain(20_000, _ => new NodeProto { OpType = "Transpose" });
                nodes[0].Input[0] = "k";
                nodes.Add(new NodeProto { OpType = "Neg", Input = { "v19999" }, Output = { "y" } });
                graph.Output[0].Name = "y";
                break;
            case "20,000 normalizations behind one Conv of 1 MiB":
                Shape(1, 512, 4, 4);
                Start("k", Zeros(512, 512, 1, 1));
                Start("n", Zeros(512));
                Chain(20_001, i => i == 0 ? new NodeProto { OpType = "Conv", Input = { "k" } } : new NodeProto { OpType = "BatchNormalization", Input = { "n", "n", "n", "n" } });
                break;
            case "20,000 Ifs that give the same name":
                Chain(20_000, _ => NoNames(If(Branch("same"), "")));
                break;
            case "20,000 Ifs, and 20,000 nodes that need new names":
                proto.OpsetImport[0].Version = 9;
                Chain(40_000, i =>
                {
                    if (i % 2 == 0)
                        return NoNames(If(Branch($"b{i}"), ""));
                    return new NodeProto { OpType = "Squeeze", Attribute = { new AttributeProto { Name = "axes", Type = AttributeProto.Types.AttributeType.Ints, Ints = { 0 } } } };
                });
                break;
            case "a name of 1 MiB in 5,000 refusals":
                var longName = new string('n', 1 << 20);
                Shape(1, 2, 4, 4);
                Start(longName, Zeros(2, 2, 1, 1));
                Start("n", Zeros(2));
                Chain(10_000, i => i % 2 == 0 ? new NodeProto { OpType = "Conv", Input = { "k" } } : new NodeProto { OpType = "BatchNormalization", Input = { "n", "n", "n", "n" } });
                nodes.Insert(0, new NodeProto { OpType = "Relu", Input = { longName }, Output = { "k" } });
                break;
            case "100,000 nodes in reverse order" or "a cycle of 100,000 nodes":
                Chain(100_000, _ => new NodeProto { OpType = "Relu" });
                var reversed = nodes.Reverse().ToArray();
                nodes.Clear();
                nodes.Add(reversed);
                if (what[0] == 'a')
                    nodes[^1].Input[0] = "v99999";
                break;
            case "100,000 nodes of which every third turns":
                Shape(2, 3);
                Chain(100_000, i => new NodeProto { OpType = (i % 3) switch { 0 => "Relu", 1 => "Transpose", _ => "Neg" } });
                break;
            case "100,000 nodes that copies and twins join":
                Chain(100_000, i => i % 4 == 0 ? new NodeProto { OpType = "Add", Input = { i == 0 ? "x" : $"v{i - 1}" } } : new NodeProto { OpType = (i % 4) switch { 1 => "Identity", 2 => "Relu", _ => "Sigmoid" } });
                break;
            case "a node with 200,000 inputs":
                var wide = new NodeProto { OpType = "Concat", Output = { "y" }, Attribute = { new AttributeProto { Name = "axis", Type = AttributeProto.Types.AttributeType.Int } } };
                wide.Input.Add(Enumerable.Repeat("x", 200_000));
                nodes.Add(wide);
                Return("y");
                break;
            default:
                throw new ArgumentException(what);
        }
        return proto.ToByteArray();
    }

    /// <summary>A message in the field of another, as protobuf writes it.</summary>
    private static byte[] Field(int number, byte[] content)
    {
        using var memory = new MemoryStream();
        using (var output = new CodedOutputStream(memory, leaveOpen: true))
        {
            output.WriteTag(number, WireFormat.WireType.LengthDelimited);
            output.WriteBytes(UnsafeByteOperations.UnsafeWrap(content));
        }
        return memory.ToArray();
    }

    /// <summary>What became of a file: "sound", or the code with which it was refused.</summary>
    private static string Outcome(byte[] file)
    {
        Model model;
        try
        {
            model = OnnxFile.Read(file);
            Assert.Empty(model.Graph.Verify());
            Assert.True(ModelCosts.Of(model).Parameters >= 0);
            PassRunner.Run(model, FusePasses.All, PassContext.Default);
        }
        catch (TransformRejectedException refused)
        {
            return refused.Code;
        }
        // What was written must be readable.
        OnnxFile.Read(OnnxFile.ToBytes(model));
        return "sound";
    }

    /// <summary>Time that the processor worked for this thread.</summary>
    private static TimeSpan ProcessorTime()
    {
        const int threadProcessorTime = 3;
        Assert.Equal(0, GetTime(threadProcessorTime, out var time));
        return TimeSpan.FromSeconds(time.Seconds) + TimeSpan.FromMicroseconds(time.Nanoseconds / 1000);
    }

    [DllImport("libc", EntryPoint = "clock_gettime")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int GetTime(int clock, out UnixTime time);

    [StructLayout(LayoutKind.Sequential)]
    private struct UnixTime
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
