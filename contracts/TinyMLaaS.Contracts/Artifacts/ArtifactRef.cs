namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>Names an immutable file of the artifact-store. Messages carry this, never bytes.</summary>
public sealed record ArtifactRef
{
    /// <summary>Content address, <c>sha256:</c> followed by 64 lower-case hexadecimal digits.</summary>
    public required string Digest { get; init; }

    /// <summary>Length in bytes.</summary>
    public required long Size { get; init; }

    /// <summary>One of <see cref="ArtifactKinds"/>.</summary>
    public required string Kind { get; init; }
}
