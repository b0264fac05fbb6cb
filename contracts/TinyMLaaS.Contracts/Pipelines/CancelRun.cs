namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>Request to the orchestrator: end a run early. Answered with <see cref="CancelRunAccepted"/>.</summary>
public sealed record CancelRun
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Why, for people.</summary>
    public string? Reason { get; init; }
}
