namespace TinyMLaaS.PipelineApi.Registry;

/// <summary>What a token permits: actions on repositories of a tenant, until a moment, as long as the key is accepted that it was given for.</summary>
internal sealed record RegistryToken
{
    /// <summary>The tenant.</summary>
    public required string Tenant { get; init; }

    /// <summary>The key; null for who uses this machine, where no key is needed.</summary>
    public Guid? Key { get; init; }

    /// <summary>When it ends, in seconds since 1970.</summary>
    public required long Ends { get; init; }

    /// <summary>Repository and action, with a space between them.</summary>
    public required IReadOnlyList<string> Access { get; init; }
}
