using System.ComponentModel.DataAnnotations;

namespace TinyMLaaS.WorkerHost;

/// <summary>Section <c>Worker</c>.</summary>
internal sealed class WorkerOptions
{
    public const string Section = "Worker";

    /// <summary>Folder for the files of attempts while they run.</summary>
    [Required(AllowEmptyStrings = false)]
    public string WorkFolder { get; set; } = "";

    /// <summary>Attempts that one worker runs at once; half of the cores unless set, but at least one.</summary>
    [Range(1, 1024)]
    public int? Slots { get; set; }

    /// <summary>
    /// An attempt waits so long for an artifact-store that cannot be reached, each time that it does and never longer than a quarter of the time that the attempt has;
    /// then the attempt fails and is tried again.
    /// </summary>
    [Range(0, 86400)]
    public double StorePatienceSeconds { get; set; } = 120;

    /// <summary>
    /// The most private memory, in MiB, that the process of one attempt may have, for a worker whose attempts run in processes of their own; unless set, three quarters
    /// of the machine's memory divided by the slots, but at least 512. Linux; elsewhere only the managed heap is limited.
    /// </summary>
    [Range(256, 1 << 24)]
    public int? MemoryLimitMiB { get; set; }

    public long MemoryLimit => MemoryLimitMiB is { } set ? (long)set << 20 : Math.Max(512L << 20, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 * 3 / SlotCount);

    public int SlotCount => Slots ?? Math.Max(1, Environment.ProcessorCount / 2);
}
