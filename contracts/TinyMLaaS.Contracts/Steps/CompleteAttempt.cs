using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Contracts.Steps;

/// <summary>Request to the orchestrator: the output is stored, commit it. Answered with <see cref="AttemptCommitted"/> or <see cref="AttemptRefused"/>.</summary>
public sealed record CompleteAttempt
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Position in the run: 1..n are the pipeline's steps, n+1+k is the evaluation of the network after step k (k = 0: the input).</summary>
    public required int Step { get; init; }

    /// <summary>Counts the tries at this step from 1.</summary>
    public required int Attempt { get; init; }

    /// <summary>Strictly increases with each attempt; a message with an older fence changes nothing.</summary>
    public required long Fence { get; init; }

    /// <summary>The worker instance that holds the lease.</summary>
    public required string Worker { get; init; }

    /// <summary>What the transformer produced, stored before this was sent; empty for an evaluation.</summary>
    public required IReadOnlyList<ArtifactRef> Outputs { get; init; }

    /// <summary>The report, stored before this was sent.</summary>
    public required ArtifactRef Report { get; init; }

    /// <summary>Scalars of the report that the run's resource shows.</summary>
    public IReadOnlyDictionary<string, double> Metrics { get; init; } = new Dictionary<string, double>();

    /// <summary>Log lines since the last heartbeat.</summary>
    public IReadOnlyList<string> Log { get; init; } = [];

    /// <summary>How many lines of the attempt come before these, so that lines which are told again after an answer was lost are kept once; absent: not known, and all are taken.</summary>
    public int? LogFrom { get; init; }
}
