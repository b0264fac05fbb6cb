namespace TinyMLaaS.Contracts.Steps;

/// <summary>An attempt failed, or a step failed while it waited for a worker.</summary>
public sealed record StepFailed
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Position in the run: 1..n are the pipeline's steps, n+1+k is the evaluation of the network after step k (k = 0: the input).</summary>
    public required int Step { get; init; }

    /// <summary>Counts the tries at this step from 1; 0 when it failed while it waited for a worker.</summary>
    public required int Attempt { get; init; }

    /// <summary>Strictly increases with each attempt; 0 when the step failed while it waited for a worker.</summary>
    public required long Fence { get; init; }

    /// <summary>Place in the run's event log; starts at 1 and has no gap.</summary>
    public required long Sequence { get; init; }

    /// <summary>When it happened, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>Why.</summary>
    public required Failure Failure { get; init; }

    /// <summary>True when another attempt follows.</summary>
    public required bool WillRetry { get; init; }
}
