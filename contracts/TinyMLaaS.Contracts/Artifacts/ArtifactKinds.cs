namespace TinyMLaaS.Contracts.Artifacts;

/// <summary>What an artifact is; a transformer accepts some kinds and produces one.</summary>
public static class ArtifactKinds
{
    /// <summary>A network, one ONNX file.</summary>
    public const string Onnx = "onnx";

    /// <summary>A stored dataset: a deterministic tar of its <c>dataset.yaml</c> and files.</summary>
    public const string Dataset = "dataset";

    /// <summary>A step's report, JSON.</summary>
    public const string Report = "report";

    /// <summary>A <c>.tar.gz</c> of a network, its manifest and its reports.</summary>
    public const string Bundle = "bundle";

    /// <summary>A container image, OCI layout.</summary>
    public const string OciImage = "oci-image";

    /// <summary>A bootable disk image.</summary>
    public const string DiskImage = "disk-image";

    /// <summary>C source of a network for a microcontroller.</summary>
    public const string CSource = "c-source";

    /// <summary>A step's log, text.</summary>
    public const string Log = "log";

    /// <summary>Every kind, in a fixed order.</summary>
    public static IReadOnlyList<string> All { get; } = [Onnx, Dataset, Report, Bundle, OciImage, DiskImage, CSource, Log];
}
