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

    public int SlotCount => Slots ?? Math.Max(1, Environment.ProcessorCount / 2);
}
