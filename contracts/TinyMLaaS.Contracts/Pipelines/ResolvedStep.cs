namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>What the orchestrator needs to know of a step's transformer; it never sees the engine.</summary>
public sealed record ResolvedStep
{
    /// <summary>The transformer's version when the run was accepted.</summary>
    public required string Version { get; init; }

    /// <summary>The worker kind that runs it, which is the first part of the transformer's name.</summary>
    public required string Worker { get; init; }

    /// <summary>The kind of artifact it produces.</summary>
    public required string Produces { get; init; }
}
