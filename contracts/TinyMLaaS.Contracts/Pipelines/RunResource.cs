using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>A run as HTTP shows it.</summary>
public sealed record RunResource
{
    /// <summary>The run.</summary>
    public required Guid Id { get; init; }

    /// <summary>Who owns it.</summary>
    public required string Tenant { get; init; }

    /// <summary>One of <see cref="RunStates"/>.</summary>
    public required string State { get; init; }

    /// <summary>Name of the model.</summary>
    public required string ModelName { get; init; }

    /// <summary>The input network.</summary>
    public required ArtifactRef Model { get; init; }

    /// <summary>The document it runs.</summary>
    public required PipelineDocument Pipeline { get; init; }

    /// <summary>The datasets as they were when the run was accepted.</summary>
    public IReadOnlyList<DatasetRef> Datasets { get; init; } = [];

    /// <summary>One for each step of the document, in order.</summary>
    public required IReadOnlyList<StepResource> Steps { get; init; }

    /// <summary>The evaluations, if the document asks for them: of the input first, then after each step that yields a network.</summary>
    public IReadOnlyList<EvaluationResource> Evaluations { get; init; } = [];

    /// <summary>Why it failed; absent otherwise.</summary>
    public Failure? Failure { get; init; }

    /// <summary>Higher first.</summary>
    public int Priority { get; init; }

    /// <summary>Labels of the submitter.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>Sequence of the newest event.</summary>
    public required long Sequence { get; init; }

    /// <summary>How often it was resumed after it had failed or been cancelled.</summary>
    public int Resumptions { get; init; }

    /// <summary>When it was accepted, UTC.</summary>
    public required DateTimeOffset AcceptedAt { get; init; }

    /// <summary>When its first attempt was claimed, UTC.</summary>
    public DateTimeOffset? StartedAt { get; init; }

    /// <summary>When it ended, UTC.</summary>
    public DateTimeOffset? EndedAt { get; init; }
}
