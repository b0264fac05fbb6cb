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
    [Range(1, long.MaxValue - 1, ErrorMessage = "ArtifactStore:MaxBytes must be at least 1.")]
    public long MaxBytes { get; set; } = 8L << 30;

    /// <summary>An upload that nothing was added to for this long is given up, in hours.</summary>
    [Range(0.01, 24 * 365, ErrorMessage = "ArtifactStore:UploadHours must be from 0.01 to 8760.")]
    public double UploadHours { get; set; } = 24;

    /// <summary>Uploads that a tenant may have begun and not ended.</summary>
    [Range(1, 10_000, ErrorMessage = "ArtifactStore:MaxUploads must be from 1 to 10000.")]
    public int MaxUploads { get; set; } = 100;

    /// <summary>Bytes that the begun uploads of a tenant may hold together; 32 GiB unless set.</summary>
    [Range(1, long.MaxValue, ErrorMessage = "ArtifactStore:MaxUploadBytes must be at least 1.")]
    public long MaxUploadBytes { get; set; } = 32L << 30;

    public TimeSpan UploadLife => TimeSpan.FromHours(UploadHours);
}
