namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>The states of a step, by name.</summary>
public static class StepStates
{
    /// <summary>Waits for its input or for a free worker.</summary>
    public const string Pending = "pending";

    /// <summary>An attempt waits in a pool's queue.</summary>
    public const string Offered = "offered";

    /// <summary>A worker holds the lease.</summary>
    public const string Running = "running";

    /// <summary>Committed. Terminal.</summary>
    public const string Succeeded = "succeeded";

    /// <summary>Attempts used up, or not worth another. Terminal.</summary>
    public const string Failed = "failed";

    /// <summary>Stopped by the run's owner. Terminal.</summary>
    public const string Cancelled = "cancelled";

    /// <summary>The run ended before its turn. Terminal.</summary>
    public const string Skipped = "skipped";
}
