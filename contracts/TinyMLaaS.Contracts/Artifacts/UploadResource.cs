namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>An upload that was begun: it takes parts until it ends as an artifact, however often the connection is cut.</summary>
public sealed record UploadResource
{
    /// <summary>Its name in <c>/v1/uploads/{id}</c>; 32 hexadecimal digits.</summary>
    public required string Id { get; init; }

    /// <summary>What the artifact is to be stored as, one of <see cref="ArtifactKinds"/>.</summary>
    public required string Kind { get; init; }

    /// <summary>Bytes that the server has; the next part begins here.</summary>
    public required long Received { get; init; }

    /// <summary>When it is given up unless something is added before, UTC.</summary>
    public required DateTimeOffset ExpiresAt { get; init; }
}
