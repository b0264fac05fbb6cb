namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>The states of an attempt, by name.</summary>
public static class AttemptStates
{
    /// <summary>Waits to be claimed.</summary>
    public const string Offered = "offered";

    /// <summary>Claimed; the lease holds.</summary>
    public const string Running = "running";

    /// <summary>Its result is the step's.</summary>
    public const string Succeeded = "succeeded";

    /// <summary>It reported a failure.</summary>
    public const string Failed = "failed";

    /// <summary>Its offer or lease expired.</summary>
    public const string Lost = "lost";

    /// <summary>Stopped on request.</summary>
    public const string Cancelled = "cancelled";
}
