namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>A manifest or blob in the file of an image.</summary>
internal sealed record PackagedPart
{
    public required string Digest { get; init; }

    public required long Offset { get; init; }

    public required long Length { get; init; }
}
