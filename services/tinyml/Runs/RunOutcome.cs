using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>A run that ended, and what was fetched of it.</summary>
internal sealed record RunOutcome
{
    public required RunResource Run { get; init; }

    public required RunDocument Document { get; init; }

    /// <summary>The last network of the run in the store; the input when no step made another.</summary>
    public required Contracts.Artifacts.ArtifactRef Network { get; init; }

    public int ExitCode => Run.State == RunStates.Succeeded ? ExitCodes.Done : ExitCodes.RunFailed;
}
