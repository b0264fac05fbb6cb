using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;

namespace TinyMLaaS.Engine.OnnxRuntime;

/// <summary>Which operators of a network ONNX Runtime would compute in floating point although they carry the weight of the work.</summary>
public static class IntegerKernels
{
    // After ONNX Runtime's rewriting, integer forms have names of their own (QLinearConv, QGemm, MatMulIntegerToFloat, ...): these take floats only.
    private static readonly string[] FloatOperators = ["Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"];

    /// <summary>The network as ONNX Runtime rewrites it at level extended, which forms integer operators but stays independent of the machine.</summary>
    /// <param name="model">The bytes of an ONNX file.</param>
    /// <param name="scratchFolder">A folder for a file that exists meanwhile.</param>
    public static Model Rewritten(byte[] model, string scratchFolder)
    {
        var path = Path.Combine(scratchFolder, $"rewritten-{Guid.NewGuid():n}.onnx");
        try
        {
            RuntimeSession.Open(model, GraphOptimizationLevel.ORT_ENABLE_EXTENDED, optimizedPath: path).Dispose();
            return OnnxFile.Read(path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <summary>Operators with weights that stay float in what <see cref="Rewritten"/> gives, nested graphs included, by their names.</summary>
    public static IReadOnlyList<string> LeftFloat(Model rewritten) =>
        [.. FloatNodes(rewritten).Select(n => $"{n.OpType} {(n.Name.Length > 0 ? n.Name : n.Label)}")];

    /// <summary>The same, as nodes.</summary>
    internal static IEnumerable<Node> FloatNodes(Model rewritten) => All(rewritten.Graph).Where(n => FloatOperators.Contains(n.OpType));

    private static IEnumerable<Node> All(Graph graph) => graph.Nodes.SelectMany(n => n.Subgraphs.SelectMany(All).Prepend(n));
}
