using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Graphs;
using TinyMLaaS.Engine.Onnx;
using TinyMLaaS.Engine.Passes;
using TinyMLaaS.Engine.Quantization;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime.Quantize;

/// <summary>
/// <c>compiler/quantize</c>: static quantization to 8 bits as QuantizeLinear and DequantizeLinear pairs. Activations are uint8 with a zero point, as x86 kernels want them; weights are
/// symmetric int8; biases are int32 on the grid of the products. Needs samples to see the ranges of activations (role <c>calibrate</c>).
/// </summary>
public sealed class Quantize : ITransformer
{
    /// <summary>Role of the dataset that shows the ranges of activations.</summary>
    public const string CalibrateRole = "calibrate";

    /// <inheritdoc/>
    public TransformerInfo Info { get; } = new()
    {
        Name = "compiler/quantize",
        Version = "1",
        Summary = "Makes weights and activations 8-bit integers, with ranges measured on samples.",
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
        var before = Figures(original, model);
        var excluded = Excluded(model.Graph, options.Exclude);
        var sealedInputs = Seal(model.Graph);
        PassRunner.Run(model, FusePasses.All, new PassContext(excluded.Contains, cancellation));
        var plan = QuantizationPlan.Of(model, excluded);
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
        var next = 0.1;
        var calibration = Calibration.Run(model, [.. plan.Tensors.Select(t => t.Name)], dataset, threads: 1, share =>
        {
            // A few messages in all, however many samples there are.
            if (share < next)
                return;
            next += 0.1;
            progress.Report(new TransformProgress(0.05 + (0.75 * share), "calibrating"));
        }, cancellation);
        cancellation.ThrowIfCancellationRequested();
        progress.Report(new TransformProgress(0.8, "writing integers"));
        var parameters = Parameters(plan, calibration, options.Calibration);
        var tensors = Tensors(plan, calibration, parameters);
        var writer = new QdqWriter(model.Graph, plan, parameters, options.PerChannel);
        writer.Write();
        var bytes = OnnxFile.ToBytes(model);
        progress.Report(new TransformProgress(0.9, "checking in ONNX Runtime"));
        var floats = IntegerKernels.LeftFloat(IntegerKernels.Rewritten(bytes, request.WorkFolder));
        File.WriteAllBytes(output, bytes);
        report["after"] = Figures(bytes, model);
        report["unchanged"] = false;
        report["noLongerInputs"] = sealedInputs;
        report["calibration"] = new JsonObject { ["method"] = options.Calibration == CalibrationMethod.Mse ? "mse" : "min-max", ["samples"] = calibration.Samples };
        report["quantized"] = new JsonArray([.. writer.Weights.Select(w => (JsonNode)new JsonObject
        {
            ["node"] = w.Node.Label,
            ["operator"] = w.Node.OpType,
            ["weightSqnrDb"] = double.IsFinite(w.Weight.SignalToNoise) ? Math.Round(w.Weight.SignalToNoise, 2) : null,
            ["raisedScales"] = w.Weight.RaisedScales,
        })]);
        report["leftFloat"] = LeftFloat(plan);
        report["floatKernels"] = new JsonArray([.. floats.Select(f => (JsonNode)f)]);
        report["tensors"] = tensors;
        return new TransformResult
        {
            OutputPath = output,
            Report = report,
            Metrics = new Dictionary<string, double> { ["quantizedOperators"] = writer.Weights.Count, ["floatKernels"] = floats.Count },
        };
    }

    /// <summary>Older exporters list every weight among the inputs, where a caller could override it. A weight that is rounded now cannot be, and the report says so.</summary>
    private static JsonArray Seal(Graph graph)
    {
        var names = new JsonArray();
        foreach (var initializer in graph.Initializers.Where(i => i.IsInput).ToArray())
        {
            graph.SealInitializer(initializer);
            names.Add(initializer.Name);
        }
        return names;
    }

    private static HashSet<Node> Excluded(Graph graph, IReadOnlyList<string> names)
    {
        var byName = graph.Nodes.ToLookup(n => n.Label, StringComparer.Ordinal);
        var unknown = names.Where(n => !byName.Contains(n)).ToArray();
        if (unknown.Length > 0)
        {
            throw new TransformRejectedException("invalid-option", string.Join('\n', unknown.Select(n =>
                $"Option 'exclude': the network has no node '{n}'; those with weights are {string.Join(", ", graph.Nodes.Where(QuantizationPlan.HasWeights).Take(20).Select(w => $"'{w.Label}'"))}.")));
        }
        return [.. names.SelectMany(n => byName[n])];
    }

    private static Dictionary<Value, QuantizationParameters> Parameters(QuantizationPlan plan, Calibration calibration, CalibrationMethod method)
    {
        var result = new Dictionary<Value, QuantizationParameters>();
        foreach (var group in plan.Tensors.GroupBy(plan.Representative))
        {
            var given = group.Select(t => (Tensor: t, Grid: QuantizationPlan.Given(t))).Where(g => g.Grid is not null).ToArray();
            foreach (var (tensor, grid) in given)
                result[tensor] = grid!.Value;
            var ranges = group.Where(t => !plan.IsPassedThrough(t) && calibration.Statistics.ContainsKey(t.Name)).Select(t => Range(t, calibration.Statistics[t.Name], method)).ToArray();
            if (given.Length == 0 && ranges.Length == 0)
                continue;
            var shared = given.Length > 0 ? given[0].Grid!.Value : QuantizationParameters.Asymmetric(ranges.Min(r => r.Minimum), ranges.Max(r => r.Maximum));
            foreach (var tensor in group)
                result.TryAdd(tensor, shared);
        }
        return result;
    }

    private static (double Minimum, double Maximum) Range(Value tensor, TensorStatistics statistics, CalibrationMethod method)
    {
        if (tensor.Producer is { } sigmoid && sigmoid.Is("Sigmoid"))
            return (0, 1);
        var (minimum, maximum) = method == CalibrationMethod.Mse ? RangeSearch.LeastSquares(statistics) : (statistics.Minimum, statistics.Maximum);
        return (Math.Min(minimum, 0), Math.Max(maximum, 0));
    }

    private static JsonArray Tensors(QuantizationPlan plan, Calibration calibration, Dictionary<Value, QuantizationParameters> parameters)
    {
        var tensors = new JsonArray();
        foreach (var tensor in plan.Tensors.Where(parameters.ContainsKey))
        {
            var grid = parameters[tensor];
            var seen = calibration.Statistics.GetValueOrDefault(tensor.Name);
            tensors.Add(new JsonObject
            {
                ["name"] = tensor.Name,
                ["type"] = grid.Type == ElementType.UInt8 ? "uint8" : "int8",
                ["scale"] = grid.Scale,
                ["zeroPoint"] = grid.ZeroPoint,
                ["minimum"] = grid.Minimum,
                ["maximum"] = grid.Maximum,
                ["observedMinimum"] = seen?.Minimum,
                ["observedMaximum"] = seen?.Maximum,
            });
        }
        return tensors;
    }

    private static JsonArray LeftFloat(QuantizationPlan plan) =>
        [.. plan.LeftFloat.Select(f => (JsonNode)new JsonObject { ["node"] = f.Key.Label, ["operator"] = f.Key.OpType, ["reason"] = f.Value })];

    private static JsonObject Figures(byte[] bytes, Model model)
    {
        var costs = ModelCosts.Of(model);
        return new JsonObject { ["bytes"] = bytes.Length, ["parameters"] = costs.Parameters, ["macs"] = costs.Macs };
    }
}
