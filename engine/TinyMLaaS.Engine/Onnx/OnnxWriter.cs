using Google.Protobuf;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Onnx;

/// <summary>From the graph to messages. Tensors are shared with the messages, not copied.</summary>
internal static class OnnxWriter
{
    /// <summary>What the tensors of a file may take: protobuf counts in 32 bits, and the rest of the file needs room too.</summary>
    public const long MostTensorBytes = int.MaxValue - (64 << 20);

    public static ModelProto Write(Model model)
    {
        var proto = ModelProto.Parser.ParseFrom(model.Unmodelled.Span);
        proto.IrVersion = model.IrVersion;
        if (model.IrVersion < OnnxVersions.FirstIrWithFreeInitializers && model.Graph.Initializers.Any(i => !i.IsInput))
            proto.IrVersion = OnnxVersions.FirstIrWithFreeInitializers;
        foreach (var (domain, version) in model.Opsets)
            proto.OpsetImport.Add(new OperatorSetIdProto { Domain = domain, Version = version });
        foreach (var (key, value) in model.Metadata)
            proto.MetadataProps.Add(new StringStringEntryProto { Key = key, Value = value });
        // Before messages are made: protobuf counts their sizes in 32 bits.
        var bytes = TensorBytes(model.Graph);
        if (bytes > MostTensorBytes)
            throw new TransformRejectedException("model-too-large", $"Cannot write the model: its tensors take {bytes} bytes, and one file holds 2 GiB.");
        proto.Graph = Write(model.Graph);
        return proto;
    }

    private static long TensorBytes(Graph graph) =>
        graph.Initializers.Sum(i => (long)i.Constant!.Bytes.Length)
        + graph.Nodes.Sum(n => n.Attributes.Values.OfType<AttributeValue.Constant>().Sum(c => (long)c.Value.Bytes.Length) + n.Subgraphs.Sum(TensorBytes));

    private static GraphProto Write(Graph graph)
    {
        var proto = GraphProto.Parser.ParseFrom(graph.Unmodelled.Span);
        proto.Name = graph.Name;
        if (graph.Doc.Length > 0)
            proto.DocString = graph.Doc;
        proto.Input.Add(graph.Inputs.Select(Describe));
        proto.Output.Add(graph.Outputs.Select(Describe));
        foreach (var initializer in graph.Initializers)
            proto.Initializer.Add(Write(initializer.Constant!, initializer.Name, initializer.UnmodelledContent));
        foreach (var node in graph.Nodes)
        {
            proto.Node.Add(Write(node));
            proto.ValueInfo.Add(node.Outputs.OfType<Value>().Where(o => o.IsTypeStated && !o.IsOutput).Select(Describe));
        }
        return proto;
    }

    private static NodeProto Write(Node node)
    {
        var proto = NodeProto.Parser.ParseFrom(node.Unmodelled.Span);
        proto.OpType = node.OpType;
        proto.Input.Add(node.Inputs.Select(i => i?.Name ?? ""));
        proto.Output.Add(node.Outputs.Select(o => o?.Name ?? ""));
        if (node.Name.Length > 0)
            proto.Name = node.Name;
        if (node.Domain.Length > 0)
            proto.Domain = node.Domain;
        if (node.Doc.Length > 0)
            proto.DocString = node.Doc;
        proto.Attribute.Add(node.Attributes.Select(a => Write(a.Key, a.Value)));
        return proto;
    }

    private static AttributeProto Write(string name, AttributeValue attribute)
    {
        var proto = new AttributeProto { Name = name };
        switch (attribute)
        {
            case AttributeValue.Int a:
                proto.Type = AttributeProto.Types.AttributeType.Int;
                proto.I = a.Value;
                break;
            case AttributeValue.Float a:
                proto.Type = AttributeProto.Types.AttributeType.Float;
                proto.F = a.Value;
                break;
            case AttributeValue.Text a:
                proto.Type = AttributeProto.Types.AttributeType.String;
                proto.S = ByteString.CopyFromUtf8(a.Value);
                break;
            case AttributeValue.Ints a:
                proto.Type = AttributeProto.Types.AttributeType.Ints;
                proto.Ints.Add(a.Values);
                break;
            case AttributeValue.Floats a:
                proto.Type = AttributeProto.Types.AttributeType.Floats;
                proto.Floats.Add(a.Values);
                break;
            case AttributeValue.Texts a:
                proto.Type = AttributeProto.Types.AttributeType.Strings;
                proto.Strings.Add(a.Values.Select(ByteString.CopyFromUtf8));
                break;
            case AttributeValue.Constant a:
                proto.Type = AttributeProto.Types.AttributeType.Tensor;
                proto.T = Write(a.Value, "", a.Unmodelled);
                break;
            case AttributeValue.Subgraph a:
                proto.Type = AttributeProto.Types.AttributeType.Graph;
                proto.G = Write(a.Value);
                break;
            case AttributeValue.Subgraphs a:
                proto.Type = AttributeProto.Types.AttributeType.Graphs;
                proto.Graphs.Add(a.Values.Select(Write));
                break;
            case AttributeValue.Opaque a:
                proto = AttributeProto.Parser.ParseFrom(a.Serialized.Span);
                proto.Name = name;
                break;
            default:
                throw new InvalidOperationException($"No form is known for {attribute.GetType().Name}.");
        }
        if (attribute.Doc.Length > 0)
            proto.DocString = attribute.Doc;
        return proto;
    }

    private static TensorProto Write(Tensor tensor, string name, ReadOnlyMemory<byte> unmodelled)
    {
        var proto = TensorProto.Parser.ParseFrom(unmodelled.Span);
        proto.DataType = (int)tensor.Type;
        proto.Dims.Add(tensor.Shape);
        if (name.Length > 0)
            proto.Name = name;
        if (tensor.Type == ElementType.String)
            proto.StringData.Add(tensor.Strings.Select(ByteString.CopyFromUtf8));
        else
            proto.RawData = UnsafeByteOperations.UnsafeWrap(tensor.Bytes);
        return proto;
    }

    private static ValueInfoProto Describe(Value value)
    {
        var info = ValueInfoProto.Parser.ParseFrom(value.Unmodelled.Span);
        info.Name = value.Name;
        if (value.OpaqueType is { } opaque)
        {
            info.Type = TypeProto.Parser.ParseFrom(opaque.Span);
            return info;
        }
        if (value.Type == ElementType.Undefined && value.Shape is null)
            return info;
        info.Type ??= new TypeProto();
        var described = info.Type.TensorType?.Shape;
        info.Type.TensorType = new TypeProto.Types.Tensor { ElemType = (int)value.Type };
        if (value.Shape is not { } shape)
            return info;
        info.Type.TensorType.Shape = new TensorShapeProto();
        for (var i = 0; i < shape.Length; i++)
        {
            var dimension = new TensorShapeProto.Types.Dimension();
            if (shape[i].Value is { } extent)
                dimension.DimValue = extent;
            else if (shape[i].Symbol is { } symbol)
                dimension.DimParam = symbol;
            if (described?.Dim.Count == shape.Length && described.Dim[i].HasDenotation)
                dimension.Denotation = described.Dim[i].Denotation;
            info.Type.TensorType.Shape.Dim.Add(dimension);
        }
        return info;
    }
}
