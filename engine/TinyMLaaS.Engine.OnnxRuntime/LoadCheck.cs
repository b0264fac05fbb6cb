using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime;

/// <summary>Whether a network that the system made is one that ONNX Runtime takes.</summary>
public static class LoadCheck
{
    /// <summary>Loads the network and lets it go.</summary>
    /// <param name="model">The bytes of an ONNX file.</param>
    /// <returns>Null, or why ONNX Runtime refuses it.</returns>
    public static string? WhyNot(byte[] model)
    {
        try
        {
            using var session = RuntimeSession.Open(model, GraphOptimizationLevel.ORT_ENABLE_BASIC);
            return null;
        }
        catch (TransformRejectedException e)
        {
            return e.Message;
        }
    }
}
