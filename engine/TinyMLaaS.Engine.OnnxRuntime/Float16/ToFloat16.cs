using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.ML.OnnxRuntime;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime.Float16;

/// <summary>
/// <c>compiler/float16</c>: weights and activations as 16-bit floats, half the bytes at eleven bits of precision. What float16 has no range for, or ONNX Runtime no operator, stays float32
/// between Casts. With samples (role <c>calibrate</c>) the ranges of activations are checked too, and the result is compared with the original.
/// </summary>
public sealed class ToFloat16 : ITransformer
{
    /// <summary>Role of the dataset that shows the ranges of activations.</summary>
    public const string CalibrateRole = "calibrate";

    // Rounding to eleven bits alone leaves 60 dB and more.
    private const double FewDecibels = 40;

    private const int MostFeeds = 64;

    /// <inheritdoc/>
    public TransformerInfo Info { get; } = new()
    {
        Name = "compiler/float16",
        Version = "1",
        Summary = "Makes weights and activations 16-bit floats, where they have the range for it.",
        Accepts = ["onnx"],
        Produces = "onnx",
        Datasets = new Dictionary<string, bool> { [CalibrateRole] = false },
        Options = typeof(Float16Options),
    };

    /// <inheritdoc/>
    /// <exception cref="TransformRejectedException">
    /// <c>already-quantized</c>: integers stand for its weights or activations; <c>out-of-range</c>: an input or output that shall be float16 was seen to hold more than it can; <c>not-finite</c>,
    /// <c>model-not-runnable</c>, <c>invalid-dataset</c>; <c>invalid-option</c>; and what every transformer that reads a network refuses.
    /// </exception>
    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var options = TransformerOptions.Parse<Float16Options>(request.Options);
        progress.Report(new TransformProgress(0, "reading the network"));
        var original = File.ReadAllBytes(request.InputPath);
        var model = OnnxFile.Read(original);
        var before = NetworkFigures.Of(original.Length, model);
        var excluded = NodeNames.Find(model.Graph, "exclude", options.Exclude);
        RefuseIntegers(model.Graph);
        var sealedInputs = NodeNames.SealWeights(model.Graph);
        PassRunner.Run(model, FusePasses.All, new PassContext(excluded.Contains, cancellation));
        var fused = OnnxFile.ToBytes(model);
        progress.Report(new TransformProgress(0.1, "asking ONNX Runtime for types"));
        var types = Types(fused, cancellation);
        Calibration? calibration = null;
        if (request.Datasets.TryGetValue(CalibrateRole, out var dataset))
        {
            string[] tensors = [.. types.Where(t => t.Value == ElementType.Float).Select(t => t.Key)];
            calibration = Calibration.Run(model, tensors, dataset, threads: 1, Quantize.Quantize.Steps(progress, 0.1, 0.6, "calibrating"), cancellation);
        }
        if (!options.KeepIo)
            RefuseRanges(model.Graph, types, calibration);
        progress.Report(new TransformProgress(0.6, "writing float16"));
        var converter = Convert(model, types, calibration, excluded, options.KeepIo, cancellation);
        var report = new JsonObject { ["before"] = before };
        var output = Path.Combine(request.WorkFolder, "float16.onnx");
        if (converter.Converted == 0)
        {
            File.WriteAllBytes(output, original);
            report["after"] = before.DeepClone();
            report["unchanged"] = true;
            report["message"] = "The network has no operator that could compute with float16; it is returned unchanged.";
            report["islands"] = Islands(converter);
            return new TransformResult { OutputPath = output, Report = report };
        }
        var bytes = OnnxFile.ToBytes(model);
        progress.Report(new TransformProgress(0.8, "comparing"));
        var comparable = options.KeepIo ? bytes : Comparable(fused, options.Exclude, types, calibration, cancellation);
        var sqnr = dataset is null ? (double?)null : Math.Round(new OutputError(fused, dataset, MostFeeds, 1, cancellation).Of(comparable).Decibels, 2);
        File.WriteAllBytes(output, bytes);
        report["after"] = NetworkFigures.Of(bytes.Length, model);
        report["unchanged"] = false;
        report["converted"] = converter.Converted;
        report["casts"] = converter.Casts;
        report["islands"] = Islands(converter);
        report["samples"] = calibration?.Samples;
        report["sqnrDb"] = sqnr;
        report["noLongerInputs"] = sealedInputs;
        report["warnings"] = Warnings(original.Length, bytes.Length, sqnr);
        return new TransformResult
        {
            OutputPath = output,
            Report = report,
            Metrics = new Dictionary<string, double> { ["converted"] = converter.Converted, ["islands"] = converter.Islands.Count, ["warnings"] = report["warnings"]!.AsArray().Count },
        };
    }

    private static HalfConverter Convert(Model model, Dictionary<string, ElementType> types, Calibration? calibration, HashSet<Node> excluded, bool keepIo, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        ElementType TypeOf(Value value) => value.Constant?.Type ?? types.GetValueOrDefault(value.Name);
        var converter = new HalfConverter(model.Graph, new HalfSupport(model, TypeOf), TypeOf,
            value => calibration?.Statistics.GetValueOrDefault(value.Name) is { } seen ? (seen.Minimum, seen.Maximum) : null, excluded, keepIo);
        converter.Convert();
        return converter;
    }

    /// <summary>The same network with float32 inputs and outputs, to compare it with the original.</summary>
    private static byte[] Comparable(byte[] fused, IReadOnlyList<string> exclude, Dictionary<string, ElementType> types, Calibration? calibration, CancellationToken cancellation)
    {
        var copy = OnnxFile.Read(fused);
        Convert(copy, types, calibration, [.. NodeNames.All(copy.Graph).Where(n => exclude.Contains(n.Label))], keepIo: true, cancellation);
        return OnnxFile.ToBytes(copy);
    }

    /// <summary>Element types of all that the outermost graph takes and makes, by name, as ONNX Runtime has them.</summary>
    private static Dictionary<string, ElementType> Types(byte[] fused, CancellationToken cancellation)
    {
        var copy = OnnxFile.Read(fused);
        Value[] made = [.. copy.Graph.Nodes.SelectMany(n => n.Outputs).OfType<Value>()];
        foreach (var value in made.Where(v => !v.IsOutput))
            copy.Graph.AddOutput(value);
        using var session = RuntimeSession.Open(OnnxFile.ToBytes(copy), GraphOptimizationLevel.ORT_DISABLE_ALL, cancellation: cancellation);
        var types = made.ToDictionary(v => v.Name, v => session.OutputType(v.Name), StringComparer.Ordinal);
        foreach (var input in session.Inputs)
            types[input.Name] = input.Type;
        return types;
    }

    private static void RefuseIntegers(Graph graph)
    {
        if (NodeNames.All(graph).FirstOrDefault(n => n.OpType is "QuantizeLinear" or "DequantizeLinear" or "DynamicQuantizeLinear" or "MatMulInteger" or "ConvInteger" || n.OpType.StartsWith("QLinear", StringComparison.Ordinal) || n.OpType == "QGemm") is { } node)
            throw new TransformRejectedException("already-quantized", $"Cannot make the network float16: '{node.Label}' ({node.OpType}) computes with integers, which are smaller. Use one of compiler/float16 and quantization.");
    }

    private static void RefuseRanges(Graph graph, Dictionary<string, ElementType> types, Calibration? calibration)
    {
        var wrong = graph.RequiredInputs.Concat(graph.Outputs).Where(v => types.GetValueOrDefault(v.Name) == ElementType.Float)
            .Select(v => calibration?.Statistics.GetValueOrDefault(v.Name) is { } seen && Math.Max(-seen.Minimum, seen.Maximum) > HalfTensor.Largest ? HalfTensor.WhyNot($"{(v.IsInput ? "the input" : "the output")} '{v.Name}'", seen.Minimum, seen.Maximum) : null).OfType<string>().ToArray();
        if (wrong.Length > 0)
            throw new TransformRejectedException("out-of-range", string.Join('\n', wrong.Select(w => $"Cannot make inputs and outputs float16: {w}. Scale it, or leave 'keep-io' true.")));
    }

    private static JsonArray Islands(HalfConverter converter) =>
        [.. converter.Islands.Select(i => (JsonNode)new JsonObject { ["node"] = i.Node.Label, ["operator"] = i.Node.OpType, ["reason"] = i.Reason })];

    private static JsonArray Warnings(long before, long after, double? sqnr)
    {
        var warnings = new JsonArray();
        if (after >= before)
            warnings.Add(string.Create(CultureInfo.InvariantCulture, $"The network is no smaller: {after} bytes, after {before}. Casts take more than the weights save."));
        if (sqnr is null)
            warnings.Add("No samples were given, so ranges of activations are not checked: values beyond 65504 become infinite. Give a dataset in the role 'calibrate'.");
        if (sqnr < FewDecibels)
            warnings.Add(string.Create(CultureInfo.InvariantCulture, $"The outputs lie only {sqnr:F1} dB above their error; exclude the operators that cannot do with float16."));
        return warnings;
    }
}
