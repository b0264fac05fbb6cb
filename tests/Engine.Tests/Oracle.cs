using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Microsoft.ML.OnnxRuntime;

namespace TinyMLaaS.Engine.Tests;

/// <summary>ONNX Runtime, called directly: what a network means is what it says.</summary>
internal static partial class Oracle
{
    static Oracle() => OrtEnv.Instance().DisableTelemetryEvents();

    /// <summary>Outputs by name, as floats (numbers) of the network's own optimizer switched off, so that only its nodes count.</summary>
    public static SortedDictionary<string, float[]> Run(byte[] model, IReadOnlyDictionary<string, OrtValue> inputs)
    {
        using var session = Open(model);
        using var run = new RunOptions();
        using var results = session.Run(run, inputs, session.OutputNames);
        var outputs = new SortedDictionary<string, float[]>(StringComparer.Ordinal);
        for (var i = 0; i < session.OutputNames.Count; i++)
            outputs.Add(session.OutputNames[i], ToFloats(results[i]));
        return outputs;
    }

    public static InferenceSession Open(byte[] model)
    {
        using var options = new SessionOptions { GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL, IntraOpNumThreads = 1, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        return new InferenceSession(model, options);
    }

    /// <summary>Seeded inputs in [-1, 1), of extent 2 where the network leaves it open; those of the golden file beside the network where there is one.</summary>
    public static Dictionary<string, OrtValue> Inputs(byte[] model, int seed, string? path = null)
    {
        using var session = Open(model);
        var golden = path is not null && File.Exists(Path.ChangeExtension(path, ".golden.npz")) ? Path.ChangeExtension(path, ".golden.npz") : null;
        var random = new Random(seed);
        var inputs = new Dictionary<string, OrtValue>();
        var names = session.InputNames;
        for (var i = 0; i < names.Count; i++)
        {
            var meta = session.InputMetadata[names[i]];
            if (golden is not null)
            {
                inputs.Add(names[i], ReadNpy(golden, $"in_{i}.npy"));
                continue;
            }
            var shape = meta.Dimensions.Select(d => d < 0 ? 2L : d).ToArray();
            var count = shape.Aggregate(1L, (a, b) => a * b);
            inputs.Add(names[i], meta.ElementType == typeof(float)
                ? OrtValue.CreateTensorValueFromMemory(Enumerable.Range(0, (int)count).Select(_ => (random.NextSingle() * 2) - 1).ToArray(), shape)
                : throw new NotSupportedException($"No values are made for {meta.ElementType}."));
        }
        return inputs;
    }

    /// <summary>Fails unless the outputs agree within <paramref name="relative"/> of the reference, plus <paramref name="absolute"/>.</summary>
    public static void AssertClose(IReadOnlyDictionary<string, float[]> expected, IReadOnlyDictionary<string, float[]> actual, float relative, float absolute)
    {
        Assert.Equal(expected.Keys, actual.Keys);
        foreach (var (name, reference) in expected)
        {
            var got = actual[name];
            Assert.Equal(reference.Length, got.Length);
            for (var i = 0; i < got.Length; i++)
            {
                var allowed = absolute + (relative * Math.Abs(reference[i]));
                Assert.True(reference[i].Equals(got[i]) || Math.Abs(reference[i] - got[i]) <= allowed, $"output '{name}'[{i}]: expected {reference[i]:R}, got {got[i]:R}, which is {Math.Abs(reference[i] - got[i]) / allowed:F1} times the tolerance");
            }
        }
    }

    private static float[] ToFloats(OrtValue value) => value.GetTensorTypeAndShape().ElementDataType switch
    {
        Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Float => value.GetTensorDataAsSpan<float>().ToArray(),
        Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Int64 => [.. value.GetTensorDataAsSpan<long>().ToArray().Select(v => (float)v)],
        Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Int32 => [.. value.GetTensorDataAsSpan<int>().ToArray().Select(v => (float)v)],
        Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.UInt8 => [.. value.GetTensorDataAsSpan<byte>().ToArray().Select(v => (float)v)],
        Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Int8 => [.. value.GetTensorDataAsSpan<sbyte>().ToArray().Select(v => (float)v)],
        Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Bool => [.. value.GetTensorDataAsSpan<bool>().ToArray().Select(v => v ? 1f : 0f)],
        Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Double => [.. value.GetTensorDataAsSpan<double>().ToArray().Select(v => (float)v)],
        var other => throw new NotSupportedException($"No floats are made of {other}."),
    };

    private static OrtValue ReadNpy(string npz, string entry)
    {
        using var zip = ZipFile.OpenRead(npz);
        using var stream = zip.GetEntry(entry)!.Open();
        using var memory = new MemoryStream();
        stream.CopyTo(memory);
        var bytes = memory.ToArray();
        var header = BitConverter.ToUInt16(bytes, 8);
        var text = System.Text.Encoding.ASCII.GetString(bytes, 10, header);
        var shape = NpyShape().Match(text).Groups[1].Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(long.Parse).ToArray();
        var data = bytes.AsSpan(10 + header);
        return text.Contains("'<f4'", StringComparison.Ordinal) ? OrtValue.CreateTensorValueFromMemory(MemoryMarshal.Cast<byte, float>(data).ToArray(), shape)
            : text.Contains("'<i8'", StringComparison.Ordinal) ? OrtValue.CreateTensorValueFromMemory(MemoryMarshal.Cast<byte, long>(data).ToArray(), shape)
            : throw new NotSupportedException($"Cannot read {text}.");
    }

    [GeneratedRegex(@"'shape': \(([^)]*)\)")]
    private static partial Regex NpyShape();
}
