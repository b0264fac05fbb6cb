using System.Text;
using Google.Protobuf;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Onnx;

/// <summary>From messages to the graph. Trusts nothing: whatever is wrong is a rejection that names its culprit.</summary>
internal static class OnnxReader
{
    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    public static Model Read(ModelProto proto, ExternalData externalData)
    {
        if (proto.Graph is null || !proto.HasIrVersion)
            throw Invalid("Cannot read the model: it has no graph or no IR version, so it is no ONNX file.");
        if (proto.IrVersion is < 1 or > OnnxVersions.NewestIr)
            throw new TransformRejectedException("unsupported-ir-version", $"Cannot read the model: its file format is IR version {proto.IrVersion}, and 1 to {OnnxVersions.NewestIr} are supported. Export it with an older ONNX release.");
        var opsets = ReadOpsets(proto);
        if (proto.Functions.FirstOrDefault(f => Domain(f.Domain).Length == 0) is { } own)
            throw new TransformRejectedException("unsupported-model", $"Cannot read the model: its function '{own.Name}' gives an operator of ONNX another meaning. Put it into a domain of its own.");
        externalData.Inline(proto);
        var model = new Model(ReadOutermost(proto.Graph), opsets, proto.IrVersion) { HasFunctions = proto.Functions.Count > 0 };
        foreach (var entry in proto.MetadataProps)
            model.Metadata[entry.Key] = entry.Value;
        // The message is ours and was read: what is left of it is what the graph has no member for.
        proto.ClearIrVersion();
        proto.Graph = null;
        proto.OpsetImport.Clear();
        proto.MetadataProps.Clear();
        model.Unmodelled = proto.ToByteArray();
        return model;
    }

    private static Dictionary<string, long> ReadOpsets(ModelProto proto)
    {
        var opsets = new Dictionary<string, long>();
        foreach (var import in proto.OpsetImport)
        {
            var domain = Domain(import.Domain);
            if (!opsets.TryAdd(domain, import.Version) && opsets[domain] != import.Version)
                throw Invalid($"Cannot read the model: it imports version {opsets[domain]} and version {import.Version} of the operators of '{Shown(domain)}'.");
        }
        var isUsed = UsesOwnDomain(proto.Graph);
        if (!opsets.TryGetValue("", out var opset) ? isUsed : opset is < OnnxVersions.OldestOpset or > OnnxVersions.NewestOpset)
        {
            var found = opset == 0 ? "no opset is stated" : $"its opset is {opset}";
            throw new TransformRejectedException("unsupported-opset", $"Cannot read the model: {found}, and {OnnxVersions.OldestOpset} to {OnnxVersions.NewestOpset} are supported. Export it again with an opset in that range, e.g. 17.");
        }
        return opsets;
    }

    private static bool UsesOwnDomain(GraphProto graph) => graph.Node.Any(n => Domain(n.Domain).Length == 0 || n.Attribute.Any(a => Nested(a).Any(UsesOwnDomain)));

    private static Graph ReadOutermost(GraphProto proto)
    {
        var graph = new Graph(proto.Name) { Doc = proto.DocString };
        Fill(graph, proto, null, new Dictionary<GraphProto, IReadOnlySet<string>>(ReferenceEqualityComparer.Instance));
        return graph;
    }

    private static void Fill(Graph graph, GraphProto proto, Scope? outer, Dictionary<GraphProto, IReadOnlySet<string>> captures)
    {
        var scope = new Scope(graph, outer, Definitions(proto), outer?.LastNumbers ?? [], outer?.Sparse ?? new SparseTensorReader());
        ReadInputs(scope, proto);
        foreach (var node in InOrder(proto, scope, captures))
            ReadNode(scope, proto, node, captures);
        ReadOutputs(scope, proto);
        foreach (var info in proto.ValueInfo)
        {
            // What is known of a value that nothing makes any more is of no use to anyone.
            if (!scope.Own.TryGetValue(info.Name, out var value) || value.Producer is null || value.IsTypeStated)
                continue;
            if (!value.IsOutput)
                Describe(value, info);
            value.IsTypeStated = true;
        }
        proto.Node.Clear();
        proto.ClearName();
        proto.ClearDocString();
        proto.Initializer.Clear();
        proto.SparseInitializer.Clear();
        proto.Input.Clear();
        proto.Output.Clear();
        proto.ValueInfo.Clear();
        graph.Unmodelled = proto.ToByteArray();
    }

    /// <summary>Every name that the graph itself gives, with the place of the node that makes it; -1 for inputs and initializers.</summary>
    private static Dictionary<string, int> Definitions(GraphProto proto)
    {
        var definitions = new Dictionary<string, int>(StringComparer.Ordinal);
        void Define(string name, int place, string what)
        {
            if (name.Length == 0)
                throw Invalid($"Cannot read {Shown(proto)}: {what} has no name.");
            if (!definitions.TryAdd(name, place))
                throw Invalid($"Cannot read {Shown(proto)}: the name '{name}' of {what} is given twice.");
        }
        var initializers = new HashSet<string>(StringComparer.Ordinal);
        foreach (var input in proto.Input)
            Define(input.Name, -1, "an input");
        foreach (var name in proto.Initializer.Select(i => i.Name).Concat(proto.SparseInitializer.Select(s => s.Values?.Name ?? "")))
        {
            if (!initializers.Add(name))
                throw Invalid($"Cannot read {Shown(proto)}: there are two initializers named '{name}'.");
            // An initializer may give an input of the same name its default.
            if (!definitions.ContainsKey(name))
                Define(name, -1, "an initializer");
        }
        for (var i = 0; i < proto.Node.Count; i++)
        {
            foreach (var output in proto.Node[i].Output)
            {
                if (output.Length > 0)
                    Define(output, i, $"an output of node {Shown(proto.Node[i])}");
            }
        }
        return definitions;
    }

    private static void ReadInputs(Scope scope, GraphProto proto)
    {
        foreach (var input in proto.Input)
        {
            var value = scope.Graph.AddInput(scope.FreeName(input.Name));
            Describe(value, input);
            scope.Own.Add(input.Name, value);
        }
        foreach (var initializer in proto.Initializer)
            ReadInitializer(scope, proto, initializer.Name, TensorReader.Read(initializer, $"initializer '{initializer.Name}'")).UnmodelledContent = Rest(initializer);
        foreach (var sparse in proto.SparseInitializer)
            ReadInitializer(scope, proto, sparse.Values.Name, scope.Sparse.Read(sparse));
    }

    private static Value ReadInitializer(Scope scope, GraphProto proto, string name, Tensor tensor)
    {
        if (!scope.Own.TryGetValue(name, out var input))
        {
            var value = scope.Graph.AddInitializer(scope.FreeName(name), tensor);
            scope.Own.Add(name, value);
            return value;
        }
        if (input.OpaqueType is not null || (input.Type != ElementType.Undefined && input.Type != tensor.Type))
            throw Invalid($"Cannot read {Shown(proto)}: input '{name}' is declared as {input.Type}, and its default is {tensor.Type}.");
        return scope.Graph.AddInitializer(input.Name, tensor);
    }

    /// <summary>A tensor's documentation and whatever else it has beside name, type, shape and content.</summary>
    private static byte[] Rest(TensorProto tensor)
    {
        tensor.Dims.Clear();
        tensor.ClearDataType();
        tensor.ClearName();
        tensor.FloatData.Clear();
        tensor.Int32Data.Clear();
        tensor.StringData.Clear();
        tensor.Int64Data.Clear();
        tensor.ClearRawData();
        tensor.DoubleData.Clear();
        tensor.Uint64Data.Clear();
        return tensor.ToByteArray();
    }

    /// <summary>Nodes in an order in which everything is made before it is read: the file's own where it is one.</summary>
    private static IEnumerable<NodeProto> InOrder(GraphProto proto, Scope scope, Dictionary<GraphProto, IReadOnlySet<string>> captures)
    {
        var needs = new List<int>[proto.Node.Count];
        var isInOrder = true;
        for (var i = 0; i < needs.Length; i++)
        {
            var places = needs[i] = [];
            foreach (var name in Reads(proto.Node[i], captures))
            {
                if (scope.Definitions.TryGetValue(name, out var place))
                {
                    if (place < 0)
                        continue;
                    places.Add(place);
                    isInOrder &= place < i;
                }
                else if (scope.Outer?.IsDefined(name) != true)
                {
                    throw Invalid($"Cannot read {Shown(proto)}: node {Shown(proto.Node[i])} reads '{name}', which nothing makes.");
                }
            }
        }
        return isInOrder ? proto.Node : Sort(proto, needs);
    }

    private static List<NodeProto> Sort(GraphProto proto, List<int>[] needs)
    {
        var readers = new List<int>[needs.Length];
        var missing = new int[needs.Length];
        for (var i = 0; i < needs.Length; i++)
        {
            missing[i] = needs[i].Count;
            foreach (var place in needs[i])
                (readers[place] ??= []).Add(i);
        }
        // Smallest place first, so that the order is the file's as far as it can be.
        var ready = new PriorityQueue<int, int>(Enumerable.Range(0, needs.Length).Where(i => missing[i] == 0).Select(i => (i, i)));
        var sorted = new List<NodeProto>(needs.Length);
        while (ready.TryDequeue(out var i, out _))
        {
            sorted.Add(proto.Node[i]);
            foreach (var reader in readers[i] ?? [])
            {
                if (--missing[reader] == 0)
                    ready.Enqueue(reader, reader);
            }
        }
        if (sorted.Count == needs.Length)
            return sorted;
        var stuck = Array.FindIndex(missing, m => m > 0);
        var seen = new HashSet<int>();
        while (seen.Add(stuck))
            stuck = needs[stuck].First(place => missing[place] > 0);
        throw Invalid($"Cannot read {Shown(proto)}: node {Shown(proto.Node[stuck])} depends on its own output, so the graph has a cycle.");
    }

    /// <summary>What a node reads from its graph and those around it, what its nested graphs read included.</summary>
    private static IEnumerable<string> Reads(NodeProto node, Dictionary<GraphProto, IReadOnlySet<string>> captures) =>
        node.Input.Where(name => name.Length > 0).Concat(node.Attribute.SelectMany(Nested).SelectMany(g => Captures(g, captures)));

    private static IEnumerable<GraphProto> Nested(AttributeProto attribute) => KindOf(attribute) switch
    {
        _ when attribute.HasRefAttrName => [],
        AttributeProto.Types.AttributeType.Graph when attribute.G is not null => [attribute.G],
        AttributeProto.Types.AttributeType.Graphs => attribute.Graphs,
        _ => [],
    };

    private static IReadOnlySet<string> Captures(GraphProto proto, Dictionary<GraphProto, IReadOnlySet<string>> known)
    {
        if (known.TryGetValue(proto, out var captures))
            return captures;
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var node in proto.Node)
            names.UnionWith(Reads(node, known));
        names.UnionWith(proto.Output.Select(o => o.Name));
        names.ExceptWith(proto.Input.Select(i => i.Name));
        names.ExceptWith(proto.Initializer.Select(i => i.Name));
        names.ExceptWith(proto.Node.SelectMany(n => n.Output));
        names.Remove("");
        known.Add(proto, names);
        return names;
    }

    private static void ReadNode(Scope scope, GraphProto graph, NodeProto proto, Dictionary<GraphProto, IReadOnlySet<string>> captures)
    {
        if (proto.OpType.Length == 0)
            throw Invalid($"Cannot read {Shown(graph)}: node {Shown(proto)} names no operator.");
        if (proto.Output.All(name => name.Length == 0))
            throw Invalid($"Cannot read {Shown(graph)}: node {Shown(proto)} makes nothing.");
        var node = scope.Graph.AddNode(
            proto.OpType,
            [.. proto.Input.Select(name => name.Length == 0 ? null : scope.Find(name))],
            [.. proto.Output.Select(name => name.Length == 0 ? null : scope.FreeName(name))],
            Domain(proto.Domain),
            proto.Name);
        node.Doc = proto.DocString;
        for (var i = 0; i < proto.Output.Count; i++)
        {
            if (node.Outputs[i] is { } output)
                scope.Own.Add(proto.Output[i], output);
        }
        foreach (var attribute in proto.Attribute)
        {
            if (attribute.Name.Length == 0 || node.Attributes.ContainsKey(attribute.Name))
                throw Invalid($"Cannot read {Shown(graph)}: node {Shown(proto)} has {(attribute.Name.Length == 0 ? "an attribute without a name" : $"two attributes named '{attribute.Name}'")}.");
            node.Set(attribute.Name, ReadAttribute(attribute, proto, nested =>
            {
                var inner = new Graph(nested.Name) { Doc = nested.DocString, Owner = node };
                Fill(inner, nested, scope, captures);
                return inner;
            }) with { Doc = attribute.DocString });
        }
        proto.Input.Clear();
        proto.Output.Clear();
        proto.Attribute.Clear();
        proto.ClearName();
        proto.ClearOpType();
        proto.ClearDomain();
        proto.ClearDocString();
        node.Unmodelled = proto.ToByteArray();
    }

    private static AttributeValue ReadAttribute(AttributeProto attribute, NodeProto node, Func<GraphProto, Graph> readNested)
    {
        if (attribute.HasRefAttrName)
            return new AttributeValue.Opaque(attribute.ToByteArray());
        switch (KindOf(attribute))
        {
            case AttributeProto.Types.AttributeType.Int:
                return new AttributeValue.Int(attribute.I);
            case AttributeProto.Types.AttributeType.Float:
                return new AttributeValue.Float(attribute.F);
            case AttributeProto.Types.AttributeType.String:
                return TryText(attribute.S) is { } text ? new AttributeValue.Text(text) : new AttributeValue.Opaque(attribute.ToByteArray());
            case AttributeProto.Types.AttributeType.Ints:
                return new AttributeValue.Ints([.. attribute.Ints]);
            case AttributeProto.Types.AttributeType.Floats:
                return new AttributeValue.Floats([.. attribute.Floats]);
            case AttributeProto.Types.AttributeType.Strings:
                var texts = attribute.Strings.Select(TryText).ToArray();
                return texts.Contains(null) ? new AttributeValue.Opaque(attribute.ToByteArray()) : new AttributeValue.Texts([.. texts.Select(t => t!)]);
            case AttributeProto.Types.AttributeType.Tensor when attribute.T is not null:
                return new AttributeValue.Constant(TensorReader.Read(attribute.T, $"attribute '{attribute.Name}' of node {Shown(node)}")) { Unmodelled = RestWithName(attribute.T) };
            case AttributeProto.Types.AttributeType.Graph when attribute.G is not null:
                return new AttributeValue.Subgraph(readNested(attribute.G));
            case AttributeProto.Types.AttributeType.Graphs:
                return new AttributeValue.Subgraphs([.. attribute.Graphs.Select(readNested)]);
            case AttributeProto.Types.AttributeType.Graph or AttributeProto.Types.AttributeType.Tensor:
                throw Invalid($"Cannot read node {Shown(node)}: attribute '{attribute.Name}' says that it holds a {KindOf(attribute)} and holds none.");
            case AttributeProto.Types.AttributeType.Undefined:
                throw Invalid($"Cannot read node {Shown(node)}: attribute '{attribute.Name}' has no type and no value.");
            default:
                return new AttributeValue.Opaque(attribute.ToByteArray());
        }
    }

    /// <summary>A tensor that is no initializer may have a name too.</summary>
    private static byte[] RestWithName(TensorProto tensor)
    {
        var name = tensor.Name;
        var rest = Rest(tensor);
        return name.Length == 0 ? rest : [.. new TensorProto { Name = name }.ToByteArray(), .. rest];
    }

    /// <summary>The stated type; files older than IR 2 state none, and the field that is set tells it.</summary>
    private static AttributeProto.Types.AttributeType KindOf(AttributeProto attribute) =>
        attribute.Type != AttributeProto.Types.AttributeType.Undefined ? attribute.Type
        : attribute.HasF ? AttributeProto.Types.AttributeType.Float
        : attribute.HasI ? AttributeProto.Types.AttributeType.Int
        : attribute.HasS ? AttributeProto.Types.AttributeType.String
        : attribute.T is not null ? AttributeProto.Types.AttributeType.Tensor
        : attribute.G is not null ? AttributeProto.Types.AttributeType.Graph
        : attribute.Floats.Count > 0 ? AttributeProto.Types.AttributeType.Floats
        : attribute.Ints.Count > 0 ? AttributeProto.Types.AttributeType.Ints
        : attribute.Strings.Count > 0 ? AttributeProto.Types.AttributeType.Strings
        : attribute.Graphs.Count > 0 ? AttributeProto.Types.AttributeType.Graphs
        : AttributeProto.Types.AttributeType.Undefined;

    private static void ReadOutputs(Scope scope, GraphProto proto)
    {
        foreach (var info in proto.Output)
        {
            if (scope.Own.TryGetValue(info.Name, out var value))
            {
                if (value.IsOutput)
                    throw Invalid($"Cannot read {Shown(proto)}: '{info.Name}' is an output twice.");
            }
            else if (scope.Outer?.Find(info.Name) is { } outer)
            {
                // A graph returns its own values only; runtimes ask for this Identity too.
                value = scope.Graph.AddNode("Identity", [outer], scope.FreeName($"{info.Name}_returned"));
            }
            else
            {
                throw Invalid($"Cannot read {Shown(proto)}: nothing makes its output '{info.Name}'.");
            }
            if (value.Constant is null && !value.IsInput)
                Describe(value, info);
            scope.Graph.AddOutput(value);
        }
    }

    private static void Describe(Value value, ValueInfoProto info)
    {
        var type = info.Type;
        if (type?.ValueCase == TypeProto.ValueOneofCase.TensorType)
        {
            value.Type = (ElementType)type.TensorType.ElemType;
            if (!Enum.IsDefined(value.Type))
                throw Invalid($"Cannot read the type of '{info.Name}': {type.TensorType.ElemType} is no element type.");
            if (type.TensorType.Shape is { } shape)
                value.Shape = [.. shape.Dim.Select(ReadDimension)];
        }
        else if (type is not null && type.ValueCase != TypeProto.ValueOneofCase.None)
        {
            value.OpaqueType = type.ToByteArray();
        }
        var isPlain = !info.HasDocString && info.MetadataProps.Count == 0 && type?.HasDenotation != true
            && type?.TensorType?.Shape?.Dim.Any(d => d.HasDenotation) != true;
        if (isPlain)
            return;
        var rest = info.Clone();
        rest.ClearName();
        value.Unmodelled = rest.ToByteArray();
    }

    private static Dimension ReadDimension(TensorShapeProto.Types.Dimension dimension) => dimension.ValueCase switch
    {
        // Some exporters write -1 for what they do not know.
        TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue => dimension.DimValue < 0 ? Dimension.Unknown : dimension.DimValue,
        TensorShapeProto.Types.Dimension.ValueOneofCase.DimParam when dimension.DimParam.Length > 0 => dimension.DimParam,
        _ => Dimension.Unknown,
    };

    private static string? TryText(ByteString bytes)
    {
        try
        {
            return StrictUtf8.GetString(bytes.Span);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    /// <summary>ONNX's own domain has two names, of which the empty one is used.</summary>
    public static string Domain(string domain) => domain == "ai.onnx" ? "" : domain;

    private static string Shown(string domain) => domain.Length == 0 ? "ai.onnx" : domain;

    private static string Shown(GraphProto graph) => graph.Name.Length == 0 ? "the graph" : $"graph '{graph.Name}'";

    private static string Shown(NodeProto node) =>
        node.Name.Length > 0 ? $"'{node.Name}' ({node.OpType})" : $"{node.OpType} -> '{node.Output.FirstOrDefault(o => o.Length > 0)}'";

    private static TransformRejectedException Invalid(string message) => new("invalid-model", message);

    /// <summary>The names of a graph's file and the values they stand for; a nested graph sees those around it.</summary>
    private sealed record Scope(Graph Graph, Scope? Outer, Dictionary<string, int> Definitions, Dictionary<string, int> LastNumbers, SparseTensorReader Sparse)
    {
        public Dictionary<string, Value> Own { get; } = new(StringComparer.Ordinal);

        public bool IsDefined(string name) => Definitions.ContainsKey(name) || Outer?.IsDefined(name) == true;

        public Value? Find(string name) => Own.GetValueOrDefault(name) ?? Outer?.Find(name);

        /// <summary>The name itself, or a free one where a nested graph gives a name that one around it gives too.</summary>
        public string FreeName(string name)
        {
            if (Outer?.IsDefined(name) != true && Graph.Find(name) is null)
                return name;
            // Numbers go on from the last one: a file may give a name thousands of times.
            for (var i = LastNumbers.GetValueOrDefault(name) + 1; ; i++)
            {
                var free = $"{name}_{i}";
                if (IsDefined(free) || Graph.Find(free) is not null)
                    continue;
                LastNumbers[name] = i;
                return free;
            }
        }
    }
}
