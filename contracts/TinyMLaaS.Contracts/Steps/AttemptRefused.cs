namespace TinyMLaaS.Contracts.Steps;

/// <summary>The attempt is not the asker's, or no longer current: drop the work, there is nothing to repair.</summary>
public sealed record AttemptRefused
{
    /// <summary>Stable: <c>unknown-run, stale-fence, not-offered, lease-lost, run-ended</c>.</summary>
    public required string Code { get; init; }

    /// <summary>The same for people.</summary>
    public required string Message { get; init; }
}
