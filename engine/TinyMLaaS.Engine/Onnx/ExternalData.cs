using System.Globalization;
using Google.Protobuf;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Onnx;

/// <summary>
/// Brings tensors that a model keeps in files of their own into the model. Only files in the model's folder or below count, whatever links say; a tensor is
/// read only if its bytes are there, and no file's bytes are taken more than once, so that a small model cannot ask for more memory than its files take.
/// </summary>
/// <param name="folder">The model's folder; null where the model came as bytes, which have none.</param>
internal sealed class ExternalData(string? folder)
{
    /// <summary>Links that are followed on the way to one file.</summary>
    private const int MostLinks = 40;

    private readonly Dictionary<string, long> _taken = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Path, long Offset, long Length), ByteString> _known = [];
    private readonly string? _root = folder is null ? null : RealPath(Path.GetFullPath(folder));

    /// <summary>Replaces every reference to another file by its content, in nested graphs and functions too.</summary>
    /// <exception cref="TransformRejectedException"><c>external-data-unsupported</c>, <c>invalid-external-data</c>, <c>model-too-large</c>, <c>invalid-model</c>.</exception>
    public void Inline(ModelProto model)
    {
        Inline(model.Graph);
        foreach (var function in model.Functions)
        {
            Inline(function.Node);
            foreach (var attribute in function.AttributeProto)
                Inline(attribute, $"default of function '{function.Name}'");
        }
    }

    private void Inline(GraphProto graph)
    {
        foreach (var initializer in graph.Initializer)
            Inline(initializer, $"initializer '{initializer.Name}'");
        foreach (var sparse in graph.SparseInitializer)
            Inline(sparse, $"sparse initializer '{sparse.Values?.Name}'");
        Inline(graph.Node);
    }

    private void Inline(IEnumerable<NodeProto> nodes)
    {
        foreach (var node in nodes)
        {
            foreach (var attribute in node.Attribute)
                Inline(attribute, $"attribute '{attribute.Name}' of node '{node.Name}' ({node.OpType})");
        }
    }

    private void Inline(AttributeProto attribute, string what)
    {
        if (attribute.T is not null)
            Inline(attribute.T, what);
        foreach (var tensor in attribute.Tensors)
            Inline(tensor, what);
        if (attribute.SparseTensor is not null)
            Inline(attribute.SparseTensor, what);
        foreach (var sparse in attribute.SparseTensors)
            Inline(sparse, what);
        if (attribute.G is not null)
            Inline(attribute.G);
        foreach (var graph in attribute.Graphs)
            Inline(graph);
    }

    private void Inline(SparseTensorProto sparse, string what)
    {
        if (sparse.Values is not null)
            Inline(sparse.Values, what);
        if (sparse.Indices is not null)
            Inline(sparse.Indices, what);
    }

    private void Inline(TensorProto tensor, string what)
    {
        // As in runtimes, the location decides; a list of entries without it means nothing.
        if (tensor.DataLocation == TensorProto.Types.DataLocation.External)
            tensor.RawData = Content(tensor, what);
        tensor.ExternalData.Clear();
        tensor.ClearDataLocation();
    }

    private ByteString Content(TensorProto tensor, string what)
    {
        if (_root is null)
            throw new TransformRejectedException("external-data-unsupported", $"Cannot read {what}: its content is in another file, and only one file came. Save the model as one file.");
        var entries = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var entry in tensor.ExternalData)
        {
            if (!entries.TryAdd(entry.Key, entry.Value))
                throw Invalid(what, $"'{entry.Key}' is given twice");
        }
        var location = entries.GetValueOrDefault("location", "");
        var path = Find(location, what);
        var length = TensorReader.ByteLength(tensor, what);
        var offset = Number(entries, "offset", what) ?? 0;
        if (Number(entries, "length", what) is { } stated && stated != length)
            throw Invalid(what, $"its shape and type take {length} bytes, and it states {stated}");
        if (length == 0)
            return ByteString.Empty;
        var size = new FileInfo(path).Length;
        if (offset > size - length)
            throw Invalid(what, $"it takes {length} bytes at {offset} of '{location}', which has {size}");
        if (_known.TryGetValue((path, offset, length), out var known))
            return known;
        var taken = _taken.GetValueOrDefault(path) + length;
        if (taken > size)
            throw Invalid(what, $"the tensors in '{location}' overlap");
        if (_taken.Values.Sum() + length > OnnxWriter.MostTensorBytes)
            throw new TransformRejectedException("model-too-large", $"Cannot read {what}: with it, the tensors of the model take more than {OnnxWriter.MostTensorBytes} bytes.");
        _taken[path] = taken;
        var content = new byte[length];
        using (var file = File.OpenHandle(path))
        {
            for (var read = 0; read < content.Length;)
            {
                var count = RandomAccess.Read(file, content.AsSpan(read), offset + read);
                if (count == 0)
                    throw Invalid(what, $"'{location}' ends early");
                read += count;
            }
        }
        return _known[(path, offset, length)] = UnsafeByteOperations.UnsafeWrap(content);
    }

    private string Find(string location, string what)
    {
        var segments = location.Split('/', '\\');
        if (location.Length == 0 || location.Contains('\0', StringComparison.Ordinal) || segments[0].Length == 0 || segments[0].Contains(':', StringComparison.Ordinal) || segments.Contains(".."))
            throw Invalid(what, $"its location '{location}' is no path below the model's folder");
        var path = RealPath(Path.Combine(_root!, location));
        if (path is null || !path.StartsWith(Path.TrimEndingDirectorySeparator(_root!) + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            throw Invalid(what, $"its location '{location}' leads out of the model's folder");
        return File.Exists(path) ? path : throw Invalid(what, $"the file '{location}' is not there");
    }

    /// <summary>The path without links; null when there are too many to follow.</summary>
    private static string? RealPath(string path)
    {
        var links = 0;
        var root = Path.GetPathRoot(path)!;
        var real = root;
        var rest = new Stack<string>(path[root.Length..].Split(Path.DirectorySeparatorChar).Reverse());
        while (rest.TryPop(out var segment))
        {
            if (segment is "" or ".")
                continue;
            if (segment == "..")
            {
                real = Path.GetDirectoryName(real) ?? real;
                continue;
            }
            var next = Path.Combine(real, segment);
            if (new FileInfo(next).LinkTarget is not { } target)
            {
                real = next;
                continue;
            }
            if (++links > MostLinks)
                return null;
            if (Path.IsPathRooted(target))
                (real, target) = (Path.GetPathRoot(target)!, target[Path.GetPathRoot(target)!.Length..]);
            foreach (var part in target.Split(Path.DirectorySeparatorChar).Reverse())
                rest.Push(part);
        }
        return real;
    }

    private static long? Number(Dictionary<string, string> entries, string key, string what)
    {
        if (!entries.TryGetValue(key, out var text))
            return null;
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw Invalid(what, $"its {key} '{text}' is no number of bytes");
    }

    private static TransformRejectedException Invalid(string what, string reason) =>
        new("invalid-external-data", $"Cannot read {what}: its content is in another file, and {reason}. Save the model as one file.");
}
