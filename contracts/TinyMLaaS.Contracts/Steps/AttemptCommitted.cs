namespace TinyMLaaS.Contracts.Steps;

/// <summary>The result of the attempt is the result of the step.</summary>
public sealed record AttemptCommitted
{
    /// <summary>The fence it was committed under.</summary>
    public required long Fence { get; init; }
}
