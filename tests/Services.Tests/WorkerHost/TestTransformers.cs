using System.Text.Json.Nodes;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.WorkerHost;

namespace TinyMLaaS.Services.Tests.WorkerHost;

/// <summary>A worker whose transformers do what a test tells them.</summary>
internal sealed class TestWorkerModule(string name, params ITransformer[] transformers) : WorkerModule
{
    public override string Name => name;

    public IReadOnlyList<IArtifactCheck> Checks { get; init; } = [];

    protected override IReadOnlyList<ITransformer> CreateTransformers() => transformers;

    protected override IReadOnlyList<IArtifactCheck> CreateChecks() => Checks;
}

/// <summary>A transformer that is a function.</summary>
internal sealed class TestTransformer(string name, Func<TransformRequest, IProgress<TransformProgress>, CancellationToken, TransformResult> transform, bool readsOriginal = false, bool readsReports = false) : ITransformer
{
    public TransformerInfo Info { get; } = new()
    {
        Name = name,
        Version = "1",
        Summary = "A transformer of a test.",
        Accepts = [ArtifactKinds.Onnx],
        Produces = name == "compiler/evaluate" ? ArtifactKinds.Report : ArtifactKinds.Onnx,
        Options = typeof(TestOptions),
        ReadsOriginal = readsOriginal,
        ReadsReports = readsReports,
    };

    public TransformResult Transform(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation) => transform(request, progress, cancellation);

    /// <summary>Writes the input again with a suffix.</summary>
    public static TestTransformer Append(string name, string suffix) => new(name, (request, progress, _) =>
    {
        progress.Report(new TransformProgress(0.5, "appending"));
        var output = Path.Combine(request.WorkFolder, "output.onnx");
        File.WriteAllText(output, File.ReadAllText(request.InputPath) + suffix);
        return new TransformResult { OutputPath = output, Report = new JsonObject { ["appended"] = suffix }, Metrics = new Dictionary<string, double> { ["length"] = suffix.Length } };
    });

    /// <summary>The same, after it has waited.</summary>
    public static TestTransformer AppendAfter(TimeSpan wait, string name, string suffix) => new(name, (request, progress, cancellation) =>
    {
        cancellation.WaitHandle.WaitOne(wait);
        cancellation.ThrowIfCancellationRequested();
        return Append(name, suffix).Transform(request, progress, cancellation);
    });
}

internal sealed record TestOptions;
