using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace TinyMLaaS.ModelServer;

/// <summary>An output that is asked for.</summary>
/// <param name="Info">Which.</param>
/// <param name="Binary">True for raw bytes behind the JSON.</param>
internal sealed record AskedOutput(TensorInfo Info, bool Binary);

/// <summary>
/// A request for an inference as it came: JSON, and behind it the raw bytes of the tensors that are said to be binary (Open Inference Protocol v2, extension for binary tensors).
/// All of it is checked against the model before a tensor is made, and a tensor is never larger than the bytes that fill it ask for.
/// </summary>
internal sealed class InferRequest
{
    private const int MostTensors = 1024;
    private const int MostDimensions = 16;
    private static readonly UTF8Encoding StrictText = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly ServedModel _model;
    private readonly ReadOnlyMemory<byte> _json;
    private readonly List<SentTensor> _sent = [];
    private readonly List<(string Name, bool? Binary)> _asked = [];
    private bool _allBinary;

    private InferRequest(ServedModel model, ReadOnlyMemory<byte> json)
    {
        _model = model;
        _json = json;
    }

    /// <summary>What the client calls its request; null where it does not.</summary>
    public string? Id { get; private set; }

    public IReadOnlyList<AskedOutput> Outputs { get; private set; } = [];

    /// <summary>Reads a body.</summary>
    /// <param name="model">What it is for.</param>
    /// <param name="body">All of it.</param>
    /// <param name="jsonLength">How much of it is JSON; null: all.</param>
    /// <exception cref="RefusedException">It is no request for this model.</exception>
    public static InferRequest Read(ServedModel model, ReadOnlyMemory<byte> body, int? jsonLength)
    {
        if (jsonLength is { } length && length > body.Length)
            throw Bad($"Inference-Header-Content-Length is {length}, but the body has {body.Length} bytes.");
        var request = new InferRequest(model, body[..(jsonLength ?? body.Length)]);
        if (request._json.IsEmpty)
            throw Bad("The body is empty. Expected a request for an inference as JSON.");
        try
        {
            request.ReadDocument();
        }
        catch (JsonException error)
        {
            throw new RefusedException(400, "malformed-json", $"The request is no JSON that can be read: {error.Message}");
        }
        catch (InvalidOperationException)
        {
            // A string that is no text, or has half a surrogate pair.
            throw new RefusedException(400, "malformed-json", "The request holds a string that is no valid Unicode text.");
        }
        request.Place(jsonLength ?? body.Length, body.Length);
        request.Settle();
        return request;
    }

    /// <summary>Makes the inputs, in the order of the model; to be disposed of by the caller.</summary>
    public OrtValue[] CreateInputs(ReadOnlyMemory<byte> body)
    {
        var values = new List<OrtValue>();
        try
        {
            foreach (var info in _model.Inputs)
                values.Add(Create(_sent.Single(t => t.Name == info.Name), info, body));
            return [.. values];
        }
        catch
        {
            values.ForEach(v => v.Dispose());
            throw;
        }
    }

    private static RefusedException Bad(string message) => new(400, "malformed-request", message);

    private static JsonException Expected(string what, ref Utf8JsonReader reader) => new($"expected {what}, got {reader.TokenType} at byte {reader.TokenStartIndex}.");

    private void ReadDocument()
    {
        var reader = new Utf8JsonReader(_json.Span, new JsonReaderOptions { MaxDepth = MostDimensions + 8 });
        var hasInputs = false;
        Object(ref reader, first: true, (string name, ref Utf8JsonReader value) =>
        {
            switch (name)
            {
                case "id":
                    Id = Text(ref value, "a string as id");
                    break;
                case "parameters":
                    Object(ref value, first: false, (string parameter, ref Utf8JsonReader of) =>
                    {
                        if (parameter == "binary_data_output")
                            _allBinary = Boolean(ref of, parameter);
                        else
                            of.Skip();
                    });
                    break;
                case "inputs":
                    hasInputs = true;
                    Array(ref value, "inputs", (ref Utf8JsonReader input) => _sent.Add(ReadTensor(ref input)));
                    break;
                case "outputs":
                    Array(ref value, "outputs", (ref Utf8JsonReader output) => _asked.Add(ReadAsked(ref output)));
                    break;
                default:
                    value.Skip();
                    break;
            }
        });
        // Nothing may follow.
        while (reader.Read())
            throw Expected("the end of the document", ref reader);
        if (!hasInputs)
            throw Bad("The request has no 'inputs'.");
    }

    private static SentTensor ReadTensor(ref Utf8JsonReader reader)
    {
        var tensor = new SentTensor();
        Object(ref reader, first: false, (string name, ref Utf8JsonReader value) =>
        {
            switch (name)
            {
                case "name":
                    tensor.Name = Text(ref value, "a string as the name of an input");
                    break;
                case "datatype":
                    tensor.Datatype = Text(ref value, "a string as datatype");
                    break;
                case "shape":
                    var shape = new List<long>();
                    if (value.TokenType != JsonTokenType.StartArray)
                        throw Expected("an array as shape", ref value);
                    while (value.Read() && value.TokenType != JsonTokenType.EndArray)
                        shape.Add(value.TokenType == JsonTokenType.Number && value.TryGetInt64(out var dimension) && dimension >= 0 && shape.Count < MostDimensions ? dimension : throw Expected($"at most {MostDimensions} whole numbers from 0 as shape", ref value));
                    tensor.Shape = shape;
                    break;
                case "data":
                    if (value.TokenType != JsonTokenType.StartArray)
                        throw Expected("an array as data", ref value);
                    // Read once the type and the shape are known, which may follow.
                    var start = (int)value.TokenStartIndex;
                    value.Skip();
                    (tensor.DataAt, tensor.DataLength) = (start, (int)value.BytesConsumed - start);
                    break;
                case "parameters":
                    Object(ref value, first: false, (string parameter, ref Utf8JsonReader of) =>
                    {
                        if (parameter == "binary_data_size")
                            tensor.BinarySize = of.TokenType == JsonTokenType.Number && of.TryGetInt32(out var size) && size >= 0 ? size : throw Expected("a whole number from 0 as binary_data_size", ref of);
                        else
                            of.Skip();
                    });
                    break;
                default:
                    value.Skip();
                    break;
            }
        });
        return tensor;
    }

    private static (string Name, bool? Binary) ReadAsked(ref Utf8JsonReader reader)
    {
        string? asked = null;
        bool? binary = null;
        Object(ref reader, first: false, (string name, ref Utf8JsonReader value) =>
        {
            if (name == "name")
                asked = Text(ref value, "a string as the name of an output");
            else if (name == "parameters")
                Object(ref value, first: false, (string parameter, ref Utf8JsonReader of) =>
                {
                    if (parameter == "binary_data")
                        binary = Boolean(ref of, parameter);
                    else if (parameter == "classification")
                        throw Bad("The parameter 'classification' is not known here: outputs come as they are.");
                    else
                        of.Skip();
                });
            else
                value.Skip();
        });
        return (asked ?? throw Bad("An entry of 'outputs' has no name."), binary);
    }

    /// <summary>Finds the bytes of each binary tensor: they follow the JSON in the order of the inputs.</summary>
    private void Place(int start, int end)
    {
        var at = (long)start;
        foreach (var tensor in _sent)
        {
            if (tensor.BinarySize is not { } size)
                continue;
            tensor.BinaryAt = (int)Math.Min(at, int.MaxValue);
            at += size;
        }
        if (at != end)
            throw Bad($"The binary inputs have {at - start} bytes by binary_data_size, and {end - start} bytes follow the JSON. Inference-Header-Content-Length says where they begin.");
    }

    /// <summary>Holds what was sent against the model: all that is wrong at once.</summary>
    private void Settle()
    {
        var wrong = new List<string>();
        foreach (var info in _model.Inputs)
        {
            var found = _sent.Where(t => t.Name == info.Name).ToArray();
            if (found.Length != 1)
                wrong.Add($"input '{info.Name}' is {(found.Length == 0 ? "missing" : "there several times")}: the model takes it as {Show(info)}");
            else
                Check(found[0], info, wrong);
        }
        wrong.AddRange(_sent.Where(t => _model.Inputs.All(i => i.Name != t.Name)).Take(8)
            .Select(t => $"there is no input '{Short(t.Name)}': the model has {string.Join(", ", _model.Inputs.Select(i => $"'{i.Name}'"))}"));
        wrong.AddRange(_asked.Where(a => _model.Outputs.All(o => o.Name != a.Name)).Take(8)
            .Select(a => $"there is no output '{Short(a.Name)}': the model has {string.Join(", ", _model.Outputs.Select(o => $"'{o.Name}'"))}"));
        wrong.AddRange(_asked.GroupBy(a => a.Name).Where(g => g.Count() > 1).Take(8).Select(g => $"output '{Short(g.Key)}' is asked for several times"));
        if (wrong.Count > 0)
            throw new RefusedException(400, "wrong-tensors", $"Model '{_model.Name}' cannot be run on these tensors: {string.Join("; ", wrong)}.");
        Outputs = _asked.Count == 0
            ? [.. _model.Outputs.Select(o => new AskedOutput(o, _allBinary))]
            : [.. _asked.Select(a => new AskedOutput(_model.Outputs.Single(o => o.Name == a.Name), a.Binary ?? _allBinary))];
    }

    private static void Check(SentTensor tensor, TensorInfo info, List<string> wrong)
    {
        if (tensor.Datatype != info.Type.Name)
            wrong.Add($"input '{info.Name}' has the datatype {(tensor.Datatype is null ? "nowhere" : $"'{Short(tensor.Datatype)}'")}, expected {info.Type.Name}");
        if (tensor.Shape is not { } shape)
        {
            wrong.Add($"input '{info.Name}' has no shape, expected {Show(info)}");
            return;
        }
        if (shape.Count != info.Shape.Count || shape.Where((d, i) => info.Shape[i] >= 0 && info.Shape[i] != d).Any())
            wrong.Add($"input '{info.Name}' has the shape [{string.Join(", ", shape)}], expected {Show(info)}");
        if (tensor.DataAt is null == tensor.BinarySize is null)
        {
            wrong.Add($"input '{info.Name}' has {(tensor.DataAt is null ? "neither data nor binary_data_size" : "data and binary_data_size")}: expected one of them");
            return;
        }
        tensor.Elements = 1;
        foreach (var dimension in shape)
            tensor.Elements = dimension == 0 || tensor.Elements == 0 ? 0 : tensor.Elements > long.MaxValue / dimension ? long.MaxValue : tensor.Elements * dimension;
        // A zero anywhere makes the tensor empty, whatever overflowed before.
        if (shape.Contains(0))
            tensor.Elements = 0;
        if (tensor.BinarySize is { } size)
        {
            if (info.Type != DataType.Bytes && (tensor.Elements > int.MaxValue || tensor.Elements * info.Type.Size != size))
                wrong.Add($"input '{info.Name}' has {size} bytes, expected {(tensor.Elements > int.MaxValue ? "many more" : tensor.Elements * info.Type.Size)} for {info.Type.Name} [{string.Join(", ", shape)}]");
            else if (info.Type == DataType.Bytes && tensor.Elements > size / 4)
                wrong.Add($"input '{info.Name}' has {size} bytes, too few for {tensor.Elements} strings, each behind its length in 4 bytes");
        }
        else if (tensor.Elements > tensor.DataLength / 2)
            wrong.Add($"the data of input '{info.Name}' has fewer elements than its shape [{string.Join(", ", shape)}] says");
    }

    private static string Show(TensorInfo info) => $"{info.Type.Name} [{string.Join(", ", info.Shape.Select(d => d < 0 ? "any" : d.ToString(System.Globalization.CultureInfo.InvariantCulture)))}]";

    private static string Short(string? text) => text is null ? "" : text.Length <= 64 ? text : text[..64] + "...";

    private OrtValue Create(SentTensor tensor, TensorInfo info, ReadOnlyMemory<byte> body)
    {
        long[] shape = [.. tensor.Shape!];
        var value = info.Type == DataType.Bytes
            ? OrtValue.CreateTensorWithEmptyStrings(OrtAllocator.DefaultInstance, shape)
            : OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, info.Type.Type, shape);
        try
        {
            if (tensor.BinarySize is { } size)
                Copy(body.Span.Slice(tensor.BinaryAt, size), tensor, info, value);
            else
                Parse(tensor, info, value);
            return value;
        }
        catch
        {
            value.Dispose();
            throw;
        }
    }

    private static void Copy(ReadOnlySpan<byte> bytes, SentTensor tensor, TensorInfo info, OrtValue value)
    {
        if (info.Type != DataType.Bytes)
        {
            bytes.CopyTo(value.GetTensorMutableRawData());
            return;
        }
        for (var i = 0; i < tensor.Elements; i++)
        {
            if (bytes.Length < 4 || BinaryPrimitives.ReadUInt32LittleEndian(bytes) is var length && length > bytes.Length - 4)
                throw Bad($"String {i} of input '{info.Name}' goes beyond its {tensor.BinarySize} bytes.");
            value.StringTensorSetElementAt(Decode(bytes.Slice(4, (int)length), info, i), i);
            bytes = bytes[(4 + (int)length)..];
        }
        if (!bytes.IsEmpty)
            throw Bad($"{bytes.Length} bytes follow the last string of input '{info.Name}'.");
    }

    private static string Decode(ReadOnlySpan<byte> bytes, TensorInfo info, int index)
    {
        try
        {
            return StrictText.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            throw Bad($"String {index} of input '{info.Name}' is no UTF-8.");
        }
    }

    /// <summary>Reads data, which is flat, or nested as the shape says.</summary>
    private void Parse(SentTensor tensor, TensorInfo info, OrtValue value)
    {
        var reader = new Utf8JsonReader(_json.Span.Slice(tensor.DataAt!.Value, tensor.DataLength), new JsonReaderOptions { MaxDepth = MostDimensions + 8 });
        reader.Read();
        var ahead = reader;
        ahead.Read();
        var index = 0L;
        if (ahead.TokenType == JsonTokenType.StartArray && tensor.Shape!.Count > 1)
            ParseLevel(ref reader, tensor, info, value, level: 0, ref index);
        else
            ParseElements(ref reader, tensor, info, value, tensor.Elements, ref index);
    }

    private static void ParseLevel(ref Utf8JsonReader reader, SentTensor tensor, TensorInfo info, OrtValue value, int level, ref long index)
    {
        var shape = tensor.Shape!;
        if (level == shape.Count - 1)
        {
            ParseElements(ref reader, tensor, info, value, shape[level], ref index);
            return;
        }
        for (var i = 0L; ; i++)
        {
            reader.Read();
            if (reader.TokenType == JsonTokenType.EndArray && i == shape[level])
                return;
            if (reader.TokenType != JsonTokenType.StartArray || i == shape[level])
                throw Bad($"The data of input '{info.Name}' is neither flat nor nested as its shape [{string.Join(", ", shape)}] says.");
            ParseLevel(ref reader, tensor, info, value, level + 1, ref index);
        }
    }

    private static void ParseElements(ref Utf8JsonReader reader, SentTensor tensor, TensorInfo info, OrtValue value, long count, ref long index)
    {
        var raw = info.Type == DataType.Bytes ? [] : value.GetTensorMutableRawData();
        for (var i = 0L; ; i++)
        {
            reader.Read();
            if (reader.TokenType == JsonTokenType.EndArray && i == count)
                return;
            if (reader.TokenType == JsonTokenType.EndArray || i == count)
                throw Bad($"The data of input '{info.Name}' has {(i == count ? "more" : "fewer")} elements than its shape [{string.Join(", ", tensor.Shape!)}] says.");
            if (info.Type == DataType.Bytes)
                value.StringTensorSetElementAt(StringOf(ref reader, info, index), (int)index);
            else if (!TryRead(ref reader, info.Type.Type, raw[(int)(index * info.Type.Size)..]))
                throw Element(info, index, ref reader);
            index++;
        }
    }

    private static string StringOf(ref Utf8JsonReader reader, TensorInfo info, long index)
    {
        try
        {
            return reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw Element(info, index, ref reader);
        }
        catch (InvalidOperationException)
        {
            throw Bad($"String {index} of input '{info.Name}' is no valid Unicode text.");
        }
    }

    private static RefusedException Element(TensorInfo info, long index, ref Utf8JsonReader reader)
    {
        var got = reader.TokenType is JsonTokenType.Number or JsonTokenType.String ? Short(Encoding.UTF8.GetString(reader.ValueSpan)) : reader.TokenType.ToString();
        return Bad($"Element {index} of input '{info.Name}' is {got}, expected {info.Type.Name}.");
    }

    private static bool TryRead(ref Utf8JsonReader reader, TensorElementType type, Span<byte> to)
    {
        if (type == TensorElementType.Bool)
        {
            to[0] = reader.TokenType == JsonTokenType.True ? (byte)1 : (byte)0;
            return reader.TokenType is JsonTokenType.True or JsonTokenType.False;
        }
        if (reader.TokenType != JsonTokenType.Number)
            return false;
        switch (type)
        {
            case TensorElementType.Float:
                if (!reader.TryGetSingle(out var single) || !float.IsFinite(single))
                    return false;
                BinaryPrimitives.WriteSingleLittleEndian(to, single);
                return true;
            case TensorElementType.Double:
                if (!reader.TryGetDouble(out var number) || !double.IsFinite(number))
                    return false;
                BinaryPrimitives.WriteDoubleLittleEndian(to, number);
                return true;
            case TensorElementType.Float16:
                if (!reader.TryGetDouble(out var wide) || !Half.IsFinite((Half)wide))
                    return false;
                BinaryPrimitives.WriteHalfLittleEndian(to, (Half)wide);
                return true;
            case TensorElementType.UInt64:
                if (!reader.TryGetUInt64(out var large))
                    return false;
                BinaryPrimitives.WriteUInt64LittleEndian(to, large);
                return true;
            default:
                return reader.TryGetInt64(out var whole) && TryWrite(whole, type, to);
        }
    }

    private static bool TryWrite(long value, TensorElementType type, Span<byte> to)
    {
        switch (type)
        {
            case TensorElementType.Int64:
                BinaryPrimitives.WriteInt64LittleEndian(to, value);
                return true;
            case TensorElementType.Int32 when value is >= int.MinValue and <= int.MaxValue:
                BinaryPrimitives.WriteInt32LittleEndian(to, (int)value);
                return true;
            case TensorElementType.UInt32 when value is >= 0 and <= uint.MaxValue:
                BinaryPrimitives.WriteUInt32LittleEndian(to, (uint)value);
                return true;
            case TensorElementType.Int16 when value is >= short.MinValue and <= short.MaxValue:
                BinaryPrimitives.WriteInt16LittleEndian(to, (short)value);
                return true;
            case TensorElementType.UInt16 when value is >= 0 and <= ushort.MaxValue:
                BinaryPrimitives.WriteUInt16LittleEndian(to, (ushort)value);
                return true;
            case TensorElementType.Int8 when value is >= sbyte.MinValue and <= sbyte.MaxValue:
                to[0] = (byte)(sbyte)value;
                return true;
            case TensorElementType.UInt8 when value is >= 0 and <= byte.MaxValue:
                to[0] = (byte)value;
                return true;
            default:
                return false;
        }
    }

    private delegate void ReadMember(string name, ref Utf8JsonReader value);

    private delegate void ReadItem(ref Utf8JsonReader item);

    /// <summary>Reads an object member by member; the reader stands before it where it is the first thing, else at its beginning.</summary>
    private static void Object(ref Utf8JsonReader reader, bool first, ReadMember member)
    {
        if (first)
            reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            throw Expected("an object", ref reader);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            var name = reader.GetString()!;
            reader.Read();
            member(name, ref reader);
        }
    }

    private static void Array(ref Utf8JsonReader reader, string name, ReadItem item)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Expected($"an array as {name}", ref reader);
        for (var count = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; count++)
        {
            if (count == MostTensors)
                throw Bad($"'{name}' has more than {MostTensors} entries.");
            item(ref reader);
        }
    }

    private static string Text(ref Utf8JsonReader reader, string what) => reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw Expected(what, ref reader);

    private static bool Boolean(ref Utf8JsonReader reader, string name) =>
        reader.TokenType is JsonTokenType.True or JsonTokenType.False ? reader.GetBoolean() : throw Expected($"true or false as {name}", ref reader);

    private sealed class SentTensor
    {
        public string? Name { get; set; }

        public string? Datatype { get; set; }

        public IReadOnlyList<long>? Shape { get; set; }

        public int? DataAt { get; set; }

        public int DataLength { get; set; }

        public int? BinarySize { get; set; }

        public int BinaryAt { get; set; }

        public long Elements { get; set; }
    }
}
