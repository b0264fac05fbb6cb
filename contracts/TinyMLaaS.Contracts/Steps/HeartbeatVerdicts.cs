namespace TinyMLaaS.Contracts.Steps;

/// <summary>The answers to a heartbeat.</summary>
public static class HeartbeatVerdicts
{
    /// <summary>Go on; the lease is renewed.</summary>
    public const string Continue = "continue";

    /// <summary>Stop and report <c>cancelled</c>.</summary>
    public const string Cancel = "cancel";

    /// <summary>Another attempt has taken over: stop and report nothing.</summary>
    public const string Lost = "lost";
}
