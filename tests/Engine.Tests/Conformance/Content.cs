using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Onnx.Proto;
using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace TinyMLaaS.Engine.Tests.Conformance;

/// <summary>What a network takes or gives: a tensor, or a sequence of such.</summary>
internal sealed record Content(Tensor? Dense, IReadOnlyList<Content> Items)
{
    /// <summary>Reads a recorded value, whose form the network's declaration tells.</summary>
    public static Content Read(string path, NodeMetadata declared)
    {
        var file = File.ReadAllBytes(path);
        switch (declared.OnnxValueType)
        {
            case OnnxValueType.ONNX_TYPE_TENSOR:
                var tensor = TensorProto.Parser.ParseFrom(file);
                // numpy has no bfloat16: its bits are recorded as whole numbers.
                if (declared.ElementDataType == TensorElementType.BFloat16 && tensor.DataType == (int)ElementType.UInt16)
                    tensor.DataType = (int)ElementType.BFloat16;
                return Of(tensor);
            case OnnxValueType.ONNX_TYPE_SEQUENCE:
                return Sequence(file);
            case OnnxValueType.ONNX_TYPE_OPTIONAL:
                return Optional(file);
            default:
                throw new NotSupportedException($"No recorded value is read as {declared.OnnxValueType}.");
        }
    }

    public static Content Of(OrtValue value)
    {
        if (!value.IsTensor)
        {
            if (value.OnnxType != OnnxValueType.ONNX_TYPE_SEQUENCE)
                throw new NotSupportedException($"No content is made of {value.OnnxType}.");
            var items = new List<Content>();
            for (var i = 0; i < value.GetValueCount(); i++)
            {
                using var item = value.GetValue(i, OrtAllocator.DefaultInstance);
                items.Add(Of(item));
            }
            return new Content(null, items);
        }
        var info = value.GetTensorTypeAndShape();
        return new Content(
            info.IsString ? Tensor.FromStrings(info.Shape, [.. value.GetStringTensorAsArray()])
                : Tensor.FromBytes((ElementType)(int)info.ElementDataType, info.Shape, info.ElementCount == 0 ? default : value.GetTensorMutableRawData().ToArray()), []);
    }

    /// <summary>A copy that ONNX Runtime takes as input.</summary>
    public OrtValue ToOrt()
    {
        if (Dense is null)
            return OrtValue.CreateSequence([.. Items.Select(i => i.ToOrt())]);
        if (Dense.Type == ElementType.String)
        {
            var texts = OrtValue.CreateTensorWithEmptyStrings(OrtAllocator.DefaultInstance, [.. Dense.Shape]);
            for (var i = 0; i < Dense.Strings.Length; i++)
                texts.StringTensorSetElementAt(Dense.Strings[i], i);
            return texts;
        }
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, (TensorElementType)(int)Dense.Type, [.. Dense.Shape]);
        if (Dense.Count > 0)
            Dense.Bytes.Span.CopyTo(value.GetTensorMutableRawData());
        return value;
    }

    /// <summary>Where another content leaves |a - b| &lt;= absolute + relative * |a|, or null. Whole numbers, texts and shapes must be equal; half floats have a tolerance of their own.</summary>
    public string? WhyNotClose(Content other, double relative, double absolute, double half)
    {
        if (Dense is null || other.Dense is null)
        {
            if (Dense is not null || other.Dense is not null || Items.Count != other.Items.Count)
                return $"a sequence of {Items.Count} against one of {other.Items.Count}";
            return Items.Zip(other.Items, (a, b) => a.WhyNotClose(b, relative, absolute, half)).FirstOrDefault(r => r is not null);
        }
        if (Dense.Type != other.Dense.Type || !Dense.Shape.SequenceEqual(other.Dense.Shape))
            return $"{Dense.Type}[{string.Join(',', Dense.Shape)}] against {other.Dense.Type}[{string.Join(',', other.Dense.Shape)}]";
        if (Dense.Type == ElementType.String)
            return Dense.Strings.SequenceEqual(other.Dense.Strings) ? null : "other texts";
        if (Floats(Dense) is not { } expected || Floats(other.Dense) is not { } got)
            return Dense.Bytes.Span.SequenceEqual(other.Dense.Bytes.Span) ? null : "other numbers";
        if (Dense.Type is ElementType.Float16 or ElementType.BFloat16)
            (relative, absolute) = (half, half);
        for (var i = 0; i < expected.Length; i++)
        {
            if (!expected[i].Equals(got[i]) && !(Math.Abs(expected[i] - got[i]) <= absolute + (relative * Math.Abs(expected[i]))))
                return $"[{i}]: expected {expected[i]:R}, got {got[i]:R}";
        }
        return null;
    }

    private static double[]? Floats(Tensor tensor) => tensor.Type switch
    {
        ElementType.Float => Array.ConvertAll(tensor.As<float>().ToArray(), v => (double)v),
        ElementType.Double => tensor.As<double>().ToArray(),
        ElementType.Float16 => Array.ConvertAll(tensor.As<Half>().ToArray(), v => (double)v),
        ElementType.BFloat16 => Array.ConvertAll(MemoryMarshal.Cast<byte, ushort>(tensor.Bytes.Span).ToArray(), v => (double)BitConverter.UInt32BitsToSingle((uint)v << 16)),
        _ => null,
    };

    private static Content Of(TensorProto proto) => new(TensorReader.Read(proto, "a recorded value"), []);

    // SequenceProto and OptionalProto of ONNX's onnx-data.proto: field 2 says what the elements are, 3 holds a tensor, 5 a sequence.
    private static Content Sequence(byte[] file) => new(null, [.. Fields(file).Select(f => f.Field switch
    {
        3 => Of(TensorProto.Parser.ParseFrom(f.Value)),
        5 => Sequence(f.Value),
        _ => throw new NotSupportedException($"Field {f.Field} of a recorded sequence is not known."),
    })]);

    private static Content Optional(byte[] file) => Fields(file).Select(f => f.Field switch
    {
        3 => Of(TensorProto.Parser.ParseFrom(f.Value)),
        5 => Sequence(f.Value),
        _ => throw new NotSupportedException($"Field {f.Field} of a recorded optional is not known."),
    }).FirstOrDefault() ?? throw new NotSupportedException("An empty optional cannot be passed.");

    private static IEnumerable<(int Field, byte[] Value)> Fields(byte[] file)
    {
        var input = new CodedInputStream(file);
        var fields = new List<(int, byte[])>();
        while (input.ReadTag() is var tag and not 0)
        {
            if (WireFormat.GetTagFieldNumber(tag) < 3)
                input.SkipLastField();
            else
                fields.Add((WireFormat.GetTagFieldNumber(tag), input.ReadBytes().ToByteArray()));
        }
        return fields;
    }
}
