namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>There is nothing to resume.</summary>
public sealed record ResumeRunRefused
{
    /// <summary>Stable: <c>unknown-run, run-active, run-cancelling, run-succeeded</c>.</summary>
    public required string Code { get; init; }

    /// <summary>The same for people.</summary>
    public required string Message { get; init; }
}
