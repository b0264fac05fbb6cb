namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>The run goes on, or has done so before at this request.</summary>
public sealed record ResumeRunAccepted
{
    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>The run's state now, one of <see cref="RunStates"/>.</summary>
    public required string State { get; init; }
}
