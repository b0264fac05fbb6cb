namespace TinyMLaaS.Contracts.Steps;

/// <summary>What the worker must do now.</summary>
public sealed record HeartbeatReply
{
    /// <summary>One of <see cref="HeartbeatVerdicts"/>.</summary>
    public required string Verdict { get; init; }
}
