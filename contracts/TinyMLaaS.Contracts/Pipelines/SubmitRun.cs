using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>Command to the orchestrator: run a validated pipeline. A second one with the same run changes nothing.</summary>
public sealed record SubmitRun
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>Chosen by pipeline-api when it accepted the request.</summary>
    public required Guid RunId { get; init; }

    /// <summary>The input network.</summary>
    public required ArtifactRef Model { get; init; }

    /// <summary>The model's name, for people.</summary>
    public required string ModelName { get; init; }

    /// <summary>The document with everything resolved that a name could change: it is never looked up again.</summary>
    public required PipelineDocument Pipeline { get; init; }

    /// <summary>The transformers of the steps, in their order, as the catalogue had them when the request was accepted.</summary>
    public required IReadOnlyList<ResolvedStep> Steps { get; init; }

    /// <summary>Every dataset that the document names.</summary>
    public required IReadOnlyList<DatasetRef> Datasets { get; init; }

    /// <summary>Higher first, -100 to 100.</summary>
    public required int Priority { get; init; }

    /// <summary>False: no step may come from the step cache.</summary>
    public required bool Cache { get; init; }

    /// <summary>True when the owner asked for the end before the run was known to be taken on: it is taken on as cancelled, and one that was taken on before is cancelled.</summary>
    public bool Cancelled { get; init; }

    /// <summary>Seed of every random choice in the run.</summary>
    public required int Seed { get; init; }

    /// <summary>Free labels of the submitter.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>The traceparent (W3C Trace Context) of the request; absent when it was not traced.</summary>
    public string? TraceParent { get; init; }

    /// <summary>When the request was accepted, UTC.</summary>
    public required DateTimeOffset AcceptedAt { get; init; }
}
