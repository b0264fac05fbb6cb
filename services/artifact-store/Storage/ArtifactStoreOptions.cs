using System.ComponentModel.DataAnnotations;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>Section <c>ArtifactStore</c> of the configuration.</summary>
internal sealed class ArtifactStoreOptions
{
    public const string Section = "ArtifactStore";

    /// <summary>The folder that holds everything; it is made if absent. One process uses it at a time.</summary>
    [Required(ErrorMessage = "ArtifactStore:Root is not set. Set it (environment: ArtifactStore__Root) to the folder that keeps the artifacts.")]
    public string Root { get; set; } = "";

    /// <summary>The largest artifact taken, in bytes; 8 GiB unless set.</summary>
    [Range(1, long.MaxValue, ErrorMessage = "ArtifactStore:MaxBytes must be at least 1.")]
    public long MaxBytes { get; set; } = 8L << 30;
}
