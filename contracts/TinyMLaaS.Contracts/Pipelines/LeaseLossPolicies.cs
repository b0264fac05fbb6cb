namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>What becomes of a step whose worker sends no heartbeats any more.</summary>
public static class LeaseLossPolicies
{
    /// <summary>Another attempt begins; the default.</summary>
    public const string Retry = "retry";

    /// <summary>The same worker may come back and go on, until the time of the attempt is over; then another attempt begins.</summary>
    public const string Wait = "wait";

    /// <summary>The step fails.</summary>
    public const string Fail = "fail";
}
