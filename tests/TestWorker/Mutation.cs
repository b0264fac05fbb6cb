using Google.Protobuf;
using Google.Protobuf.Collections;
using TinyMLaaS.Engine.Onnx.Proto;

namespace TinyMLaaS.TestWorker;

/// <summary>Damages a model file, by seed: half of the mutants byte by byte, half in what the file says.</summary>
internal sealed class Mutation(int seed)
{
    private static readonly long[] Extremes = [0, 1, -1, 2, 7, 127, 128, 255, 65_536, int.MaxValue, int.MinValue, 1L << 31, 1L << 40, long.MaxValue, long.MinValue];

    private readonly Random _random = new(seed);

    public byte[] Of(IReadOnlyList<byte[]> files)
    {
        var source = files[_random.Next(files.Count)];
        if (_random.Next(2) == 0)
            return OfBytes(source, files[_random.Next(files.Count)]);
        var proto = ModelProto.Parser.ParseFrom(source);
        for (var changes = _random.Next(1, 5); changes > 0; changes--)
            Change(proto);
        return proto.ToByteArray();
    }

    private byte[] OfBytes(byte[] source, byte[] other)
    {
        var mutant = _random.Next(6) switch
        {
            0 => source[.._random.Next(source.Length)],
            1 => [.. source[.._random.Next(source.Length)], .. other[_random.Next(other.Length)..]],
            2 => [.. source, .. other],
            _ => (byte[])source.Clone(),
        };
        for (var changes = _random.Next(0, 8); changes > 0 && mutant.Length > 0; changes--)
        {
            // Names, shapes and attributes are a small part of a file: half of the changes aim at its first and last kilobyte.
            var reach = Math.Min(mutant.Length, 1024);
            var place = _random.Next(4) switch { 0 => _random.Next(reach), 1 => mutant.Length - 1 - _random.Next(reach), _ => _random.Next(mutant.Length) };
            mutant[place] = _random.Next(4) switch { 0 => (byte)_random.Next(256), 1 => 0xff, _ => (byte)(mutant[place] ^ (1 << _random.Next(8))) };
        }
        return mutant;
    }

    private void Change(ModelProto model)
    {
        var graph = GraphOf(model.Graph);
        var nodes = graph.Node;
        switch (_random.Next(22))
        {
            case 0 when nodes.Count > 1: nodes.RemoveAt(_random.Next(nodes.Count)); break;
            case 1 when nodes.Count > 0: nodes.Insert(_random.Next(nodes.Count), nodes[_random.Next(nodes.Count)].Clone()); break;
            case 2 when Any(nodes) is { } node: node.OpType = Any(nodes)!.OpType; break;
            case 3: Rename(Any(nodes)?.Input, graph); break;
            case 4: Rename(Any(nodes)?.Output, graph); break;
            case 5 when Any(nodes) is { Input.Count: > 0 } node: node.Input.RemoveAt(_random.Next(node.Input.Count)); break;
            case 6 when Any(nodes) is { } node: node.Input.Add(NameOf(graph)); break;
            case 7: ChangeNumbers(Any(Any(nodes)?.Attribute)?.Ints); break;
            case 8 when Any(Any(nodes)?.Attribute) is { } attribute: attribute.Type = (AttributeProto.Types.AttributeType)_random.Next(-1, 17); break;
            case 9 when Any(Any(nodes)?.Attribute) is { } attribute: attribute.I = Extreme(); break;
            case 10 when Any(Any(nodes)?.Attribute) is { } attribute: attribute.Name = Any(Any(nodes)?.Attribute)?.Name ?? ""; break;
            case 11: ChangeNumbers(Any(graph.Initializer)?.Dims); break;
            case 12 when Any(graph.Initializer) is { } tensor: tensor.DataType = _random.Next(-1, 30); break;
            case 13 when Any(graph.Initializer) is { RawData.Length: > 7 } tensor: tensor.RawData = ByteString.CopyFrom(ChangeContent(tensor.RawData.ToByteArray())); break;
            case 14 when Any(graph.Initializer) is { } tensor: tensor.Name = NameOf(graph); break;
            case 15 when Any(graph.Input)?.Type?.TensorType?.Shape is { Dim.Count: > 0 } shape: shape.Dim[_random.Next(shape.Dim.Count)].DimValue = Extreme(); break;
            case 16 when Any(graph.Input) is { } input: input.Name = NameOf(graph); break;
            case 17 when Any(graph.Output) is { } output: output.Name = NameOf(graph); break;
            case 18: model.OpsetImport[_random.Next(model.OpsetImport.Count)].Version = _random.Next(-1, 30); break;
            case 19 when graph.Initializer.Count > 0: graph.Initializer.RemoveAt(_random.Next(graph.Initializer.Count)); break;
            case 20 when Any(nodes) is { } node: node.Attribute.Add(new AttributeProto { Name = "body", Type = AttributeProto.Types.AttributeType.Graph, G = Small(graph) }); break;
            case 21 when Any(nodes) is { } node: node.OpType = Operators[_random.Next(Operators.Length)]; break;
            default: break;
        }
    }

    private static readonly string[] Operators =
    [
        "Reshape", "Concat", "Slice", "Gather", "Expand", "Tile", "Pad", "Resize", "Split", "Transpose", "Squeeze", "Unsqueeze", "ConstantOfShape", "Range", "Where", "Cast", "Shape", "Size", "Constant",
        "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Identity", "Dropout", "ReduceProd", "Softmax", "Upsample", "TopK", "Scatter", "If", "Loop", "Clip", "DepthToSpace",
    ];

    private GraphProto GraphOf(GraphProto graph)
    {
        while (_random.Next(2) == 0 && Any(graph.Node.SelectMany(n => n.Attribute).Where(a => a.G is not null).ToList())?.G is { } nested)
            graph = nested;
        return graph;
    }

    private static GraphProto Small(GraphProto of) => new() { Name = "small", Node = { of.Node.Take(3).Select(n => n.Clone()) } };

    private byte[] ChangeContent(byte[] content)
    {
        BitConverter.TryWriteBytes(content.AsSpan(_random.Next(content.Length - 7)), Extreme());
        return content;
    }

    private void ChangeNumbers(RepeatedField<long>? numbers)
    {
        if (numbers is null)
            return;
        if (numbers.Count == 0 || _random.Next(4) == 0)
            numbers.Add(Extreme());
        else if (_random.Next(4) == 0)
            numbers.RemoveAt(_random.Next(numbers.Count));
        else
            numbers[_random.Next(numbers.Count)] = Extreme();
    }

    private void Rename(RepeatedField<string>? names, GraphProto graph)
    {
        if (names is { Count: > 0 })
            names[_random.Next(names.Count)] = NameOf(graph);
    }

    /// <summary>A name of the graph, or none, or a new one.</summary>
    private string NameOf(GraphProto graph) => _random.Next(6) switch
    {
        0 => "",
        1 => "new",
        2 => Any(graph.Input)?.Name ?? "",
        3 => Any(graph.Initializer)?.Name ?? "",
        _ => Any(Any(graph.Node)?.Output) ?? "",
    };

    private long Extreme() => Extremes[_random.Next(Extremes.Length)];

    private T? Any<T>(IReadOnlyList<T>? list) where T : class => list is { Count: > 0 } ? list[_random.Next(list.Count)] : null;
}
