using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.TestWorker;

/// <summary>
/// <c>tests/calibration-peak</c>: quantizes its input with the dataset of each role and reports the most memory, in KiB, that its process held meanwhile. The last role's comes once before: what the
/// runtime compiles and keeps for as long as it lives is no matter of how many samples there are.
/// </summary>
internal sealed class CalibrationPeak : ITransformer
{
    public TransformerInfo Info { get; } = new()
    {
        Name = "tests/calibration-peak",
        Version = "1",
        Summary = "Measures the memory of calibration.",
        Accepts = ["onnx"],
        Produces = "report",
        Options = typeof(QuantizeOptions),
    };

    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        JsonObject Measure(Dataset dataset)
        {
            PeakMemory.Collect();
            PeakMemory.Forget();
            var report = new Quantize().Transform(request with { Datasets = new Dictionary<string, Dataset> { [Quantize.CalibrateRole] = dataset } }, progress, cancellation).Report;
            return new JsonObject { ["samples"] = report["calibration"]!["samples"]!.DeepClone(), ["peak"] = PeakMemory.Most >> 10 };
        }
        Measure(request.Datasets.Last().Value);
        return new TransformResult { OutputPath = null, Report = new JsonObject(request.Datasets.Select(d => KeyValuePair.Create(d.Key, (JsonNode?)Measure(d.Value)))) };
    }
}
