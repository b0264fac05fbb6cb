namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>The bytes on disk are not those that the artifact is named by. The file has been put aside; storing the artifact again heals it.</summary>
internal sealed class ArtifactDamagedException(Digest digest) : IOException(
    $"The artifact {digest} was stored, but its bytes on disk have another digest now. They were put aside; store the artifact again to heal it.")
{
    /// <summary>Stable code of problems and log lines.</summary>
    public const string Code = "artifact-damaged";
}
