using System.Globalization;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime.QuantizeDynamic;

/// <summary>
/// <c>compiler/quantize-dynamic</c>: weights of MatMul and Gemm as int8, and their other operand rounded to uint8 while the network runs, with a scale for each run (DynamicQuantizeLinear and
/// MatMulInteger). Needs no samples. Nested graphs are quantized like the outermost one.
/// </summary>
public sealed class QuantizeDynamic : ITransformer
{
    // What stays float, and why; all other operators have no weights that a runtime multiplies as integers.
    private static readonly Dictionary<string, string> FloatOperators = new(StringComparer.Ordinal)
    {
        ["Conv"] = "ONNX Runtime computes ConvInteger several times slower than floats; compiler/quantize, with samples, makes convolutions fast",
        ["ConvTranspose"] = "ONNX has no integer operator for it",
        ["LSTM"] = "weights of recurrent operators are left as they are",
        ["GRU"] = "weights of recurrent operators are left as they are",
        ["RNN"] = "weights of recurrent operators are left as they are",
    };

    /// <inheritdoc/>
    public TransformerInfo Info { get; } = new()
    {
        Name = "compiler/quantize-dynamic",
        Version = "1",
        Summary = "Makes weights of matrix products 8-bit integers; needs no samples.",
        Accepts = ["onnx"],
        Produces = "onnx",
        Options = typeof(QuantizeDynamicOptions),
    };

    /// <inheritdoc/>
    /// <exception cref="TransformRejectedException"><c>invalid-option</c>: an option is wrong or excludes a node that does not exist; and what every transformer that reads a network refuses.</exception>
    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var options = TransformerOptions.Parse<QuantizeDynamicOptions>(request.Options);
        progress.Report(new TransformProgress(0, "reading the network"));
        var original = File.ReadAllBytes(request.InputPath);
        var model = OnnxFile.Read(original);
        var before = NetworkFigures.Of(original.Length, model);
        var excluded = NodeNames.Find(model.Graph, "exclude", options.Exclude);
        var sealedInputs = NodeNames.SealWeights(model.Graph);
        progress.Report(new TransformProgress(0.1, "fusing"));
        PassRunner.Run(model, FusePasses.All, new PassContext(excluded.Contains, cancellation));
        progress.Report(new TransformProgress(0.4, "writing integers"));
        var writer = new DynamicQuantizer(new WeightGrid(options.PerChannel, options.ReducedRange), ShapeInference.Of(model), excluded, cancellation);
        writer.Write(model.Graph);
        var output = Path.Combine(request.WorkFolder, "quantized.onnx");
        var report = new JsonObject { ["before"] = before };
        if (writer.Quantized.Count == 0)
        {
            File.WriteAllBytes(output, original);
            report["after"] = before.DeepClone();
            report["unchanged"] = true;
            report["message"] = writer.AlreadyInteger > 0 && writer.LeftFloat.Count == 0
                ? "The network's products are integer already; it is returned unchanged."
                : "The network has no matrix product whose weights could be integers; it is returned unchanged.";
            report["leftFloat"] = LeftFloat(writer);
            return new TransformResult { OutputPath = output, Report = report };
        }
        var bytes = OnnxFile.ToBytes(model);
        progress.Report(new TransformProgress(0.7, "checking in ONNX Runtime"));
        var floats = IntegerKernels.LeftFloat(IntegerKernels.Rewritten(bytes, request.WorkFolder));
        File.WriteAllBytes(output, bytes);
        report["after"] = NetworkFigures.Of(bytes.Length, model);
        report["unchanged"] = false;
        report["estimatedTimeRatio"] = Math.Round(writer.TimeRatio, 2);
        report["warnings"] = Warnings(original.Length, bytes.Length, writer);
        report["noLongerInputs"] = sealedInputs;
        report["quantized"] = new JsonArray([.. writer.Quantized.Select(q => (JsonNode)new JsonObject
        {
            ["node"] = q.Node,
            ["operator"] = q.Operator,
            ["weightSqnrDb"] = double.IsFinite(q.Sqnr) ? Math.Round(q.Sqnr, 2) : null,
        })]);
        report["leftFloat"] = LeftFloat(writer);
        report["floatKernels"] = new JsonArray([.. floats.Select(f => (JsonNode)f)]);
        return new TransformResult
        {
            OutputPath = output,
            Report = report,
            Metrics = new Dictionary<string, double> { ["quantizedOperators"] = writer.Quantized.Count, ["floatKernels"] = floats.Count, ["warnings"] = report["warnings"]!.AsArray().Count },
        };
    }

    internal static string? WhyFloat(Node node) => node.Domain.Length == 0 ? FloatOperators.GetValueOrDefault(node.OpType) : null;

    private static JsonArray LeftFloat(DynamicQuantizer writer) =>
        [.. writer.LeftFloat.Select(f => (JsonNode)new JsonObject { ["node"] = f.Node.Label, ["operator"] = f.Node.OpType, ["reason"] = f.Reason })];

    private static JsonArray Warnings(long before, long after, DynamicQuantizer writer)
    {
        var warnings = new JsonArray();
        if (after >= before)
            warnings.Add(string.Create(CultureInfo.InvariantCulture, $"The quantized network is no smaller: {after} bytes, after {before}. Scales and operators take more than the weights save."));
        if (writer.TimeRatio > 1)
            warnings.Add(string.Create(CultureInfo.InvariantCulture, $"The quantized products are probably slower on x86: they are estimated to take {writer.TimeRatio:F2} times as long. Compare latencies before you use it for speed."));
        return warnings;
    }
}
