using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace TinyMLaaS.ModelServer;

/// <summary>Writes the outputs of an inference: JSON, and behind it the raw bytes of those that were asked for as binary.</summary>
internal static class InferResponse
{
    /// <summary>How much of the body is JSON, where bytes follow it.</summary>
    public const string HeaderLength = "Inference-Header-Content-Length";

    /// <summary>Nobody reads an answer as HTML.</summary>
    public static readonly JsonWriterOptions Format = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    private const int FlushAt = 64 * 1024;
    private const int StringBytes = 32;

    /// <summary>Bytes that an output holds; of strings, what their beginnings do.</summary>
    public static long Size(OrtValue value)
    {
        var tensor = value.GetTensorTypeAndShape();
        return tensor.ElementCount * (DataType.Of(tensor.ElementDataType) is { Size: > 0 } type ? type.Size : StringBytes);
    }

    public static async Task WriteAsync(HttpResponse response, ServedModel model, InferRequest request, IReadOnlyList<OrtValue> outputs, CancellationToken cancellation)
    {
        // Before the first byte leaves: an answer that cannot be given is an error and not half an answer.
        for (var i = 0; i < outputs.Count; i++)
            CheckFinite(request.Outputs[i], outputs[i]);
        if (request.Outputs.Any(o => o.Binary))
        {
            await WriteBinaryAsync(response, model, request, outputs, cancellation);
            return;
        }
        response.ContentType = "application/json";
        await using var writer = new Utf8JsonWriter(response.BodyWriter, Format);
        Begin(writer, model, request);
        for (var i = 0; i < outputs.Count; i++)
        {
            BeginOutput(writer, request.Outputs[i], outputs[i]);
            writer.WriteStartArray("data");
            var count = outputs[i].GetTensorTypeAndShape().ElementCount;
            for (var from = 0L; from < count; from += FlushAt)
            {
                WriteElements(writer, request.Outputs[i].Info.Type, outputs[i], from, Math.Min(FlushAt, count - from));
                writer.Flush();
                await response.BodyWriter.FlushAsync(cancellation);
            }
            writer.WriteEndArray();
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static async Task WriteBinaryAsync(HttpResponse response, ServedModel model, InferRequest request, IReadOnlyList<OrtValue> outputs, CancellationToken cancellation)
    {
        var json = new ArrayBufferWriter<byte>();
        var binary = new ReadOnlyMemory<byte>?[outputs.Count];
        using (var writer = new Utf8JsonWriter(json, Format))
        {
            Begin(writer, model, request);
            for (var i = 0; i < outputs.Count; i++)
            {
                BeginOutput(writer, request.Outputs[i], outputs[i]);
                if (request.Outputs[i].Binary)
                {
                    binary[i] = Raw(request.Outputs[i].Info.Type, outputs[i]);
                    writer.WriteStartObject("parameters");
                    writer.WriteNumber("binary_data_size", binary[i]!.Value.Length);
                    writer.WriteEndObject();
                }
                else
                {
                    writer.WriteStartArray("data");
                    WriteElements(writer, request.Outputs[i].Info.Type, outputs[i], 0, outputs[i].GetTensorTypeAndShape().ElementCount);
                    writer.WriteEndArray();
                }
                writer.WriteEndObject();
            }
            writer.WriteEndArray();
            writer.WriteEndObject();
        }
        response.ContentType = "application/octet-stream";
        response.Headers[HeaderLength] = json.WrittenCount.ToString(CultureInfo.InvariantCulture);
        response.ContentLength = json.WrittenCount + binary.Sum(b => (long)(b?.Length ?? 0));
        await response.BodyWriter.WriteAsync(json.WrittenMemory, cancellation);
        foreach (var bytes in binary)
        {
            if (bytes is { } some)
                await response.BodyWriter.WriteAsync(some, cancellation);
        }
    }

    private static void Begin(Utf8JsonWriter writer, ServedModel model, InferRequest request)
    {
        writer.WriteStartObject();
        writer.WriteString("model_name", model.Name);
        writer.WriteString("model_version", ServedModel.Version);
        if (request.Id is { } id)
            writer.WriteString("id", id);
        writer.WriteStartArray("outputs");
    }

    private static void BeginOutput(Utf8JsonWriter writer, AskedOutput output, OrtValue value)
    {
        writer.WriteStartObject();
        writer.WriteString("name", output.Info.Name);
        writer.WriteString("datatype", output.Info.Type.Name);
        writer.WriteStartArray("shape");
        foreach (var dimension in value.GetTensorTypeAndShape().Shape)
            writer.WriteNumberValue(dimension);
        writer.WriteEndArray();
    }

    private static void CheckFinite(AskedOutput output, OrtValue value)
    {
        var finite = output.Binary || output.Info.Type.Type switch
        {
            TensorElementType.Float => AllFinite(value.GetTensorDataAsSpan<float>(), float.IsFinite),
            TensorElementType.Double => AllFinite(value.GetTensorDataAsSpan<double>(), double.IsFinite),
            TensorElementType.Float16 => AllFinite(value.GetTensorDataAsSpan<Float16>(), f => Half.IsFinite(BitConverter.UInt16BitsToHalf(f.value))),
            _ => true,
        };
        if (!finite)
            throw new RefusedException(422, "not-finite", $"Output '{output.Info.Name}' holds NaN or an infinity for these inputs, which JSON cannot carry. Ask for it with the parameter binary_data.");
    }

    private static bool AllFinite<T>(ReadOnlySpan<T> values, Func<T, bool> isFinite)
    {
        foreach (var value in values)
        {
            if (!isFinite(value))
                return false;
        }
        return true;
    }

    private static void WriteElements(Utf8JsonWriter writer, DataType type, OrtValue value, long from, long count)
    {
        var (start, length) = ((int)from, (int)count);
        switch (type.Type)
        {
            case TensorElementType.Float:
                foreach (var element in value.GetTensorDataAsSpan<float>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            case TensorElementType.Double:
                foreach (var element in value.GetTensorDataAsSpan<double>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            case TensorElementType.Float16:
                foreach (var element in value.GetTensorDataAsSpan<Float16>().Slice(start, length))
                    writer.WriteNumberValue((float)BitConverter.UInt16BitsToHalf(element.value));
                break;
            case TensorElementType.Bool:
                foreach (var element in value.GetTensorDataAsSpan<bool>().Slice(start, length))
                    writer.WriteBooleanValue(element);
                break;
            case TensorElementType.Int8:
                foreach (var element in value.GetTensorDataAsSpan<sbyte>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            case TensorElementType.UInt8:
                foreach (var element in value.GetTensorDataAsSpan<byte>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            case TensorElementType.Int16:
                foreach (var element in value.GetTensorDataAsSpan<short>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            case TensorElementType.UInt16:
                foreach (var element in value.GetTensorDataAsSpan<ushort>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            case TensorElementType.Int32:
                foreach (var element in value.GetTensorDataAsSpan<int>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            case TensorElementType.UInt32:
                foreach (var element in value.GetTensorDataAsSpan<uint>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            case TensorElementType.Int64:
                foreach (var element in value.GetTensorDataAsSpan<long>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            case TensorElementType.UInt64:
                foreach (var element in value.GetTensorDataAsSpan<ulong>().Slice(start, length))
                    writer.WriteNumberValue(element);
                break;
            default:
                for (var i = start; i < start + length; i++)
                    writer.WriteStringValue(value.GetStringElement(i));
                break;
        }
    }

    private static ReadOnlyMemory<byte> Raw(DataType type, OrtValue value)
    {
        if (type != DataType.Bytes)
            return value.GetTensorMutableRawData().ToArray();
        var bytes = new ArrayBufferWriter<byte>();
        foreach (var text in value.GetStringTensorAsArray())
        {
            var encoded = Encoding.UTF8.GetBytes(text);
            BinaryPrimitives.WriteInt32LittleEndian(bytes.GetSpan(4), encoded.Length);
            bytes.Advance(4);
            bytes.Write(encoded);
        }
        return bytes.WrittenMemory;
    }
}
