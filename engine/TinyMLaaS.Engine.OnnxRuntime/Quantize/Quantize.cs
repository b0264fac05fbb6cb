using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// <c>compiler/quantize</c>: static quantization to 8 bits as QuantizeLinear and DequantizeLinear pairs. Activations are uint8 with a zero point, as x86 kernels want them; weights are
/// symmetric int8; biases are int32 on the grid of the products. Needs samples to see the ranges of activations (role <c>calibrate</c>).
/// </summary>
public sealed class Quantize : ITransformer
{
    // Of each tensor's histogram in the report; what a plot in a table can show.
    private const int HistogramParts = 32;

    /// <summary>Role of the dataset that shows the ranges of activations.</summary>
    public const string CalibrateRole = "calibrate";

    /// <inheritdoc/>
    public TransformerInfo Info { get; } = new()
    {
        Name = "compiler/quantize",
        Version = "10",
        Summary = "Makes weights and activations integers of 8 or 4 bits, with ranges measured on samples.",
        Accepts = ["onnx"],
        Produces = "onnx",
        Datasets = new Dictionary<string, bool> { [CalibrateRole] = true },
        Options = typeof(QuantizeOptions),
    };

    /// <inheritdoc/>
    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var options = TransformerOptions.Parse<QuantizeOptions>(request.Options);
        progress.Report(new TransformProgress(0, "reading the network"));
        var original = File.ReadAllBytes(request.InputPath);
        var model = OnnxFile.Read(original);
        var before = NetworkFigures.Of(original.Length, model);
        var excluded = NodeNames.Find(model.Graph, "exclude", options.Exclude);
        var sealedInputs = NodeNames.SealWeights(model.Graph);
        PassRunner.Run(model, FusePasses.All, new PassContext(excluded.Contains, cancellation));
        var keys = excluded.Select(QuantizationDraft.Key).OfType<string>().ToHashSet(StringComparer.Ordinal);
        if (options.WeightBits == 4)
            OpsetRaise.Apply(model);
        var fused = OnnxFile.ToBytes(model);
        var weights = new WeightGrid(options.PerChannel, options.ReducedRange, options.WeightBits);
        var choice = new QuantizationChoice(options.Calibration == CalibrationMethod.Auto ? CalibrationMethod.Mse : options.Calibration);
        var plan = QuantizationDraft.OnCopy(fused, keys, null, choice, weights).Plan;
        var output = Path.Combine(request.WorkFolder, "quantized.onnx");
        var report = new JsonObject { ["before"] = before };
        if (!plan.Nodes.Any(QuantizationPlan.HasWeights))
        {
            File.WriteAllBytes(output, original);
            report["after"] = before.DeepClone();
            report["unchanged"] = true;
            report["message"] = plan.AlreadyInteger.Count > 0
                ? "The network is quantized already; it is returned unchanged."
                : "The network has no operator with weights that could be quantized; it is returned unchanged.";
            report["leftFloat"] = LeftFloat(plan);
            return new TransformResult { OutputPath = output, Report = report };
        }
        if (!request.Datasets.TryGetValue(CalibrateRole, out var dataset))
            throw new TransformRejectedException("missing-dataset", "Cannot quantize without samples: give a dataset in the role 'calibrate'.");
        progress.Report(new TransformProgress(0.05, "calibrating"));
        var calibration = Calibration.Run(model, Watched(plan), dataset, threads: 1, Steps(progress, 0.05, 0.4, "calibrating"), cancellation, options.Percentile, options.ActivationBits);
        var search = options.Calibration != CalibrationMethod.Auto ? null
            : QuantizationSearch.Run(fused, keys, calibration, dataset, weights, options.Equalize, Steps(progress, 0.4, 0.85, "measuring errors"), cancellation);
        cancellation.ThrowIfCancellationRequested();
        if (search is not null)
            (fused, calibration, weights) = (search.Network, search.Calibration, search.Weights);
        progress.Report(new TransformProgress(0.85, "writing integers"));
        var draft = QuantizationDraft.OnCopy(fused, keys, calibration, search?.Choice ?? choice, weights);
        var tensors = Tensors(draft, calibration, search?.Choice ?? choice);
        var leftFloat = LeftFloat(draft.Plan);
        var integer = draft.Plan.Nodes.Select(QuantizationDraft.Key).OfType<string>().ToHashSet(StringComparer.Ordinal);
        var bytes = draft.Write();
        progress.Report(new TransformProgress(0.87, "comparing layers"));
        var layers = LayerReport.Of(fused, bytes, draft, calibration, dataset, cancellation);
        progress.Report(new TransformProgress(0.9, "checking in ONNX Runtime"));
        var rewritten = IntegerKernels.Rewritten(bytes, request.WorkFolder);
        var floats = IntegerKernels.LeftFloat(rewritten);
        var inFloat = ComputedInFloat(draft, rewritten, options);
        integer.ExceptWith(inFloat.Select(l => QuantizationDraft.Key(l.Node)).OfType<string>());
        var timeRatio = SpeedEstimate.Ratio(NodeWork.Measure(fused, dataset, cancellation), integer, IntegerKernels.Rewritten(fused, request.WorkFolder).Graph.Count, rewritten.Graph.Count);
        File.WriteAllBytes(output, bytes);
        report["after"] = NetworkFigures.Of(bytes.Length, draft.Model);
        report["unchanged"] = false;
        report["estimatedTimeRatio"] = Math.Round(timeRatio, 2);
        report["warnings"] = Warnings(original.Length, bytes.Length, timeRatio, options.WeightBits == 4 ? inFloat.Count : 0);
        report["noLongerInputs"] = sealedInputs;
        report["calibration"] = new JsonObject { ["method"] = Name(options.Calibration), ["samples"] = calibration.Samples };
        if (search is not null)
            report["search"] = Search(search);
        report["quantized"] = layers;
        report["leftFloat"] = leftFloat;
        report["computedInFloat"] = new JsonArray([.. inFloat.Select(l => (JsonNode)new JsonObject { ["node"] = l.Node.Label, ["operator"] = l.Node.OpType, ["reason"] = l.Reason })]);
        report["floatKernels"] = new JsonArray([.. floats.Select(f => (JsonNode)f)]);
        report["tensors"] = tensors;
        return new TransformResult
        {
            OutputPath = output,
            Report = report,
            Metrics = new Dictionary<string, double> { ["quantizedOperators"] = draft.Layers.Count, ["floatKernels"] = floats.Count, ["warnings"] = report["warnings"]!.AsArray().Count },
        };
    }

    /// <summary>All that an integer operator reads or makes, so that ranges are known whatever a search leaves float.</summary>
    private static HashSet<string> Watched(QuantizationPlan plan) =>
        [.. plan.Tensors.Concat(plan.Nodes.SelectMany(n => n.Outputs).OfType<Value>()).Select(t => t.Name)];

    /// <summary>Operators whose weights are integers in the file and that ONNX Runtime computes with floats all the same, as the graph shows that it makes of the file.</summary>
    private static List<(Node Node, string Reason)> ComputedInFloat(QuantizationDraft draft, Model rewritten, QuantizeOptions options)
    {
        var floats = IntegerKernels.FloatNodes(rewritten).ToArray();
        var names = floats.Select(n => n.Name).Where(n => n.Length > 0).ToHashSet(StringComparer.Ordinal);
        var outputs = floats.SelectMany(n => n.Outputs).OfType<Value>().Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        return
        [
            .. draft.Layers.Where(l => names.Contains(l.Node.Name) || l.Node.Outputs.OfType<Value>().Any(o => outputs.Contains(o.Name)) || outputs.Contains(l.Output)).Select(l => (l.Node, options.WeightBits == 4
                ? $"read off what ONNX Runtime makes of the file: it has no kernel for a {l.Node.OpType} with weights of 4 bits, brings them back to floats and computes with these"
                : "read off what ONNX Runtime makes of the file: it found no integer kernel for this operator between what stands before and after it")),
        ];
    }

    /// <summary>A few messages in all, however often the share is told.</summary>
    internal static Action<double> Steps(IProgress<TransformProgress> progress, double from, double to, string message)
    {
        var next = 0.1;
        return share =>
        {
            if (share < next)
                return;
            next += 0.1;
            progress.Report(new TransformProgress(from + ((to - from) * Math.Min(1, share)), message));
        };
    }

    private static JsonArray Warnings(long before, long after, double timeRatio, int inFloat)
    {
        var warnings = new JsonArray();
        if (after >= before)
            warnings.Add(string.Create(CultureInfo.InvariantCulture, $"The quantized network is no smaller: {after} bytes, after {before}. Scales and zero points take more than the weights save."));
        if (inFloat > 0)
            warnings.Add(string.Create(CultureInfo.InvariantCulture, $"ONNX Runtime computes {inFloat} operators with weights of 4 bits in floats: the file is smaller and no faster. Use weights of 8 bits for speed."));
        if (timeRatio > 1)
            warnings.Add(string.Create(CultureInfo.InvariantCulture, $"The quantized network is probably slower on x86: its operators are estimated to take {timeRatio:F2} times as long. Compare latencies before you use it for speed."));
        return warnings;
    }

    private static string Name(CalibrationMethod method) => JsonNamingPolicy.KebabCaseLower.ConvertName(method.ToString());

    private static JsonObject Search(QuantizationSearch search) => new()
    {
        ["feeds"] = search.Feeds,
        ["measured"] = search.Measured,
        ["sqnrDb"] = Math.Round(search.Error.Decibels, 2),
        ["worstOutput"] = search.Error.WorstOutput,
        ["worstOutputSqnrDb"] = Math.Round(search.Error.WorstDecibels, 2),
        ["worstDrawSqnrDb"] = Math.Round(search.Error.ReliableDecibels, 2),
        ["equalization"] = search.Equalization is { } equalization ? new JsonObject
        {
            ["basis"] = equalization.Basis == EqualizationBasis.Weights ? "weights" : "activations",
            ["gainDb"] = Math.Round(equalization.Decibels, 2),
            ["pairs"] = new JsonArray([.. equalization.Pairs.Select(p => (JsonNode)new JsonArray(p.First, p.Second))]),
        } : null,
        ["biasCorrectionGainDb"] = search.BiasGain is { } gain ? Math.Round(gain, 2) : null,
        ["floatMacShare"] = Math.Round(search.FloatShare, 4),
    };

    private static JsonArray Tensors(QuantizationDraft draft, Calibration calibration, QuantizationChoice choice)
    {
        var tensors = new JsonArray();
        foreach (var tensor in draft.Plan.Tensors.Where(draft.Grids.ContainsKey))
        {
            var grid = draft.Grids[tensor];
            var seen = calibration.Statistics.GetValueOrDefault(tensor.Name);
            tensors.Add(new JsonObject
            {
                ["name"] = tensor.Name,
                ["type"] = grid.Type == ElementType.UInt8 ? "uint8" : "int8",
                ["bits"] = grid.Bits,
                ["scale"] = grid.Scale,
                ["zeroPoint"] = grid.ZeroPoint,
                ["method"] = Name(choice.MethodOf(tensor.Name)),
                ["minimum"] = grid.Minimum,
                ["maximum"] = grid.Maximum,
                ["observedMinimum"] = seen?.Minimum,
                ["observedMaximum"] = seen?.Maximum,
                ["clippedMass"] = seen is null ? null : LayerReport.ClippedMass(seen, grid),
                ["histogram"] = seen is null ? null : new JsonArray([.. seen.Outline(HistogramParts).Select(s => (JsonNode)Math.Round(s, 6))]),
            });
        }
        return tensors;
    }

    private static JsonArray LeftFloat(QuantizationPlan plan) =>
        [.. plan.LeftFloat.Select(f => (JsonNode)new JsonObject { ["node"] = f.Key.Label, ["operator"] = f.Key.OpType, ["reason"] = f.Value })];
}
