using System.ComponentModel.DataAnnotations;

namespace TinyMLaaS.PipelineApi;

/// <summary>Section <c>PipelineApi</c> of the configuration.</summary>
internal sealed class PipelineApiOptions
{
    public const string Section = "PipelineApi";
    public const double LeastRetentionHours = 1;
    public const double MostRetentionHours = 87_600;

    /// <summary>
    /// Worker kinds that must be present for this service to be ready, separated by commas; none unless set, because where workers come and go a step waits for
    /// its worker.
    /// </summary>
    public string ExpectedWorkers { get; set; } = "";

    /// <summary>
    /// Whether clients need a key; unless set they do where others than this machine can connect, and do not on loopback. Set it to true on loopback behind a proxy.
    /// </summary>
    public bool? RequireKey { get; set; }

    /// <summary>A worker instance that has not announced itself for this long is gone.</summary>
    [Range(1, 600, ErrorMessage = "PipelineApi:SilenceSeconds must be from 1 to 600.")]
    public double SilenceSeconds { get; set; } = 15;

    /// <summary>How often accepted runs that the orchestrator does not know are handed over again.</summary>
    [Range(0.05, 60, ErrorMessage = "PipelineApi:HandOverSeconds must be from 0.05 to 60.")]
    public double HandOverSeconds { get; set; } = 2;

    /// <summary>
    /// Artifacts that nothing refers to are removed once nobody has used them for so many hours; never, unless set. It must be longer than any result or upload waits
    /// until something refers to it, which a broker that is down for long delays.
    /// </summary>
    [Range(LeastRetentionHours, MostRetentionHours, ErrorMessage = "PipelineApi:ArtifactRetentionHours must be from 1 to 87600.")]
    public double? ArtifactRetentionHours { get; set; }

    public TimeSpan Silence => TimeSpan.FromSeconds(SilenceSeconds);

    public TimeSpan HandOverEvery => TimeSpan.FromSeconds(HandOverSeconds);

    public IReadOnlyList<string> ExpectedWorkerKinds => ExpectedWorkers.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}
