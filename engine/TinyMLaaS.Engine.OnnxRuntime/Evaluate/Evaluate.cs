using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.Engine.OnnxRuntime.Evaluate;

/// <summary><c>compiler/evaluate</c>: measures a network on a dataset (role <c>evaluate</c>). The system runs it between steps; no pipeline names it.</summary>
public sealed class Evaluate : ITransformer
{
    /// <summary>Role of the dataset that is measured on.</summary>
    public const string EvaluateRole = "evaluate";

    /// <inheritdoc/>
    public TransformerInfo Info { get; } = new()
    {
        Name = "compiler/evaluate",
        Version = "1",
        Summary = "Measures a network on samples.",
        Accepts = ["onnx"],
        Produces = "report",
        Datasets = new Dictionary<string, bool> { [EvaluateRole] = true },
        Options = typeof(EvaluateOptions),
        ReadsOriginal = true,
        Listed = false,
    };

    /// <inheritdoc/>
    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var options = TransformerOptions.Parse<EvaluateOptions>(request.Options);
        if (!request.Datasets.TryGetValue(EvaluateRole, out var dataset))
            throw new TransformRejectedException("missing-dataset", "Cannot evaluate without samples: give a dataset in the role 'evaluate'.");
        var original = request.OriginalPath is { } path ? File.ReadAllBytes(path) : null;
        var next = 0.1;
        progress.Report(new TransformProgress(0, "evaluating"));
        var result = Evaluation.Measure(File.ReadAllBytes(request.InputPath), dataset, options.Metric, original, progress: share =>
        {
            if (share < next)
                return;
            next += 0.1;
            progress.Report(new TransformProgress(share, "evaluating"));
        }, cancellation: cancellation);
        var name = Metrics.Name(options.Metric);
        var report = new JsonObject { ["metric"] = name, ["value"] = result.Value, ["samples"] = result.Samples };
        if (dataset.Classes is { } classes)
            report["classes"] = new JsonArray([.. classes.Select(c => (JsonNode)c)]);
        return new TransformResult
        {
            OutputPath = null,
            Report = report,
            Metrics = new Dictionary<string, double> { [name] = result.Value, ["samples"] = result.Samples },
        };
    }
}
