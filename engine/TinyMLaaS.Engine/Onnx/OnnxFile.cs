using Google.Protobuf;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx.Proto;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.Onnx;

/// <summary>
/// Reads and writes ONNX files: opset 7 to 26, IR up to 13, up to 2 GiB. What the graph has no member for (producer, functions,
/// documentation, unknown fields) is carried and written again. The same model gives the same bytes. Tensors in files of their own are read from the
/// model's folder; sparse initializers become dense ones; what is written is always one file.
/// </summary>
public static class OnnxFile
{
    /// <summary>Reads a file, and those beside it or below that hold its tensors.</summary>
    /// <exception cref="TransformRejectedException">
    /// <c>invalid-model</c>: no ONNX model, or a broken one; the message names what is wrong. <c>invalid-external-data</c>: a tensor's own file is missing,
    /// too short or out of the folder. <c>unsupported-opset</c>, <c>unsupported-ir-version</c>, <c>unsupported-model</c>, <c>model-too-large</c>: sound,
    /// perhaps, but beyond this reader.
    /// </exception>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public static Model Read(string path)
    {
        using var stream = File.OpenRead(path);
        if (stream.Length > int.MaxValue)
            throw new TransformRejectedException("model-too-large", $"Cannot read the model: it has {stream.Length} bytes, and a model in one file has at most {int.MaxValue}.");
        // From the stream, tensors are read straight into their own memory: no second copy of the whole file.
        return Read(() => ModelProto.Parser.ParseFrom(stream), new ExternalData(Path.GetDirectoryName(Path.GetFullPath(path))));
    }

    /// <summary>Reads a file's bytes.</summary>
    /// <exception cref="TransformRejectedException">As for <see cref="Read(string)"/>; <c>external-data-unsupported</c>: a tensor is in a file of its own.</exception>
    public static Model Read(ReadOnlyMemory<byte> bytes) => Read(() => ModelProto.Parser.ParseFrom(bytes.Span), new ExternalData(null));

    /// <summary>Writes a model.</summary>
    /// <exception cref="TransformRejectedException"><c>model-too-large</c>: the model does not fit one file.</exception>
    public static void Write(Model model, Stream stream) => OnnxWriter.Write(model).WriteTo(stream);

    /// <summary>Writes a model to a file, replacing it.</summary>
    /// <exception cref="TransformRejectedException">As for <see cref="Write(Model, Stream)"/>.</exception>
    public static void Write(Model model, string path)
    {
        var proto = OnnxWriter.Write(model);
        using var stream = File.Create(path);
        proto.WriteTo(stream);
    }

    /// <summary>A model as a file's bytes.</summary>
    /// <exception cref="TransformRejectedException">As for <see cref="Write(Model, Stream)"/>.</exception>
    public static byte[] ToBytes(Model model) => OnnxWriter.Write(model).ToByteArray();

    private static Model Read(Func<ModelProto> parse, ExternalData externalData)
    {
        ModelProto proto;
        try
        {
            proto = parse();
        }
        catch (InvalidProtocolBufferException broken)
        {
            throw new TransformRejectedException("invalid-model", $"Cannot read the model: it is no ONNX file, or a damaged one ({broken.Message.TrimEnd('.')}). Export or upload it again.", broken);
        }
        return OnnxReader.Read(proto, externalData);
    }
}
