using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Engine.Datasets;
using TinyMLaaS.Engine.Transformers;

namespace TinyMLaaS.WorkerHost.Isolation;

/// <summary>One piece of work as data that another process can be told: everything is a value or a path.</summary>
internal sealed record TransformCall
{
    /// <summary>Name of the transformer.</summary>
    public required string Uses { get; init; }

    /// <summary>The input file.</summary>
    public required string InputPath { get; init; }

    /// <summary>Its artifact kind.</summary>
    public required string InputKind { get; init; }

    /// <summary>The model that the run started from; null for a transformer that does not ask for it.</summary>
    public string? OriginalPath { get; init; }

    /// <summary>Options by name.</summary>
    public JsonElement? With { get; init; }

    /// <summary>Folders of unpacked datasets by role.</summary>
    public required IReadOnlyDictionary<string, string> Datasets { get; init; }

    /// <summary>Seed of every random choice.</summary>
    public int Seed { get; init; }

    /// <summary>Name of the model that the run started from.</summary>
    public required string ModelName { get; init; }

    /// <summary>How the input came to be.</summary>
    public required JsonObject Recipe { get; init; }

    /// <summary>The reports of the steps so far, in their order; none for a transformer that does not ask for them.</summary>
    public required IReadOnlyList<string> ReportPaths { get; init; }

    /// <summary>An empty folder for the output and for scratch files.</summary>
    public required string WorkFolder { get; init; }

    /// <summary>Does the work on the calling thread: transforms, and checks what came out.</summary>
    /// <exception cref="TransformRejectedException">Model, options or data are wrong, or the output does not pass a check.</exception>
    public TransformResult Run(ITransformer transformer, IReadOnlyList<IArtifactCheck> checks, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        var result = transformer.Transform(Open(), progress, cancellation);
        if (result.OutputPath is not { } output)
            return result;
        foreach (var check in checks.Where(c => c.Kind == transformer.Info.Produces))
        {
            if (check.WhyNot(output) is { } why)
                throw new TransformRejectedException(check.Code, $"The output of {Uses} is not a valid {check.Kind}: {why}");
        }
        return result;
    }

    private TransformRequest Open() => new()
    {
        InputPath = InputPath,
        InputKind = InputKind,
        OriginalPath = OriginalPath,
        Options = With,
        Datasets = Datasets.OrderBy(d => d.Key, StringComparer.Ordinal).ToDictionary(d => d.Key, d => Dataset.Open(d.Value, followLinksAndParents: false), StringComparer.Ordinal),
        Seed = Seed,
        History = new TransformHistory { ModelName = ModelName, Recipe = Recipe, ReportPaths = ReportPaths },
        WorkFolder = WorkFolder,
    };
}
