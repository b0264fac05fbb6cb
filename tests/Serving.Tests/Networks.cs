using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Tests.Graphs;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Serving.Tests;

/// <summary>Networks that are served, and what they answer by ONNX Runtime itself.</summary>
internal static class Networks
{
    /// <summary>Every type that the protocol has a name for, each as it comes.</summary>
    public static readonly (string Datatype, string Onnx)[] Types =
    [
        ("BOOL", "bool"), ("UINT8", "uint8"), ("UINT16", "uint16"), ("UINT32", "uint32"), ("UINT64", "uint64"), ("INT8", "int8"), ("INT16", "int16"), ("INT32", "int32"), ("INT64", "int64"),
        ("FP16", "float16"), ("FP32", "float"), ("FP64", "double"), ("BYTES", "string"),
    ];

    /// <summary>The sample of this repository: 28 x 28 pixels in, 10 classes out.</summary>
    public static string Sample => Repository.Path("samples/fashion-cnn.onnx");

    /// <summary>Writes a network that is given as text.</summary>
    public static void Write(string path, string text) => OnnxFile.Write(GraphText.Parse(text, opset: 17), path);

    /// <summary>The outputs of a network by ONNX Runtime.</summary>
    public static float[] Run(string path, string input, long[] shape, float[] data)
    {
        using var session = new InferenceSession(path);
        using var value = OrtValue.CreateTensorValueFromMemory(data, shape);
        using var options = new RunOptions();
        using var outputs = session.Run(options, [input], [value], [session.OutputNames[0]]);
        return outputs[0].GetTensorDataAsSpan<float>().ToArray();
    }
}
