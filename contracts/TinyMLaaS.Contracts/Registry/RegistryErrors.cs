namespace TinyMLaaS.Contracts.Registry;

/// <summary>A refusal under <c>/v2</c>: what the OCI distribution specification has in place of problem documents.</summary>
public sealed record RegistryErrors
{
    /// <summary>What is wrong; at least one.</summary>
    public required IReadOnlyList<RegistryError> Errors { get; init; }
}
