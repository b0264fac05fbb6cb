namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>
/// Request to the orchestrator: go on with a run that failed or was cancelled. Answered with <see cref="ResumeRunAccepted"/> or <see cref="ResumeRunRefused"/>.
/// A run that was resumed and has not ended again is left as it is, and so is every run under a <see cref="Key"/> that has resumed it before.
/// </summary>
public sealed record ResumeRun
{
    /// <summary>Who owns the run.</summary>
    public required string Tenant { get; init; }

    /// <summary>The run.</summary>
    public required Guid RunId { get; init; }

    /// <summary>Of this request: with the same one it is the same request, however often it is made.</summary>
    public string? Key { get; init; }
}
