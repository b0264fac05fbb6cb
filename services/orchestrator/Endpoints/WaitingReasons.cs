using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Dispatching;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Endpoints;

/// <summary>Why steps wait, as of one moment.</summary>
internal sealed class WaitingReasons(IReadOnlyDictionary<string, WorkerPool> pools, BusySlots busy)
{
    public static async Task<WaitingReasons> ReadAsync(OrchestratorDbContext database, WorkerPools pools, CancellationToken cancellation) =>
        new(pools.Current(), await BusySlots.CountAsync(database, cancellation));

    /// <summary>Null when the step does not wait, or is about to be offered.</summary>
    public string? Of(PipelineRun run, RunStep step)
    {
        if (step.State != StepStates.Pending || run.IsTerminal)
            return null;
        if (step.ReadyAt is null)
        {
            var before = step.EvaluatesAfter ?? step.Position - 1;
            return $"step {before} has not finished";
        }
        if (!pools.TryGetValue(step.Worker, out var pool))
            return $"no {step.Worker} worker is announced";
        if (pool.VersionFor(step.Uses, step.Version) is null)
            return $"no announced {step.Worker} worker has {step.Uses}{(step.Version is null ? "" : $" {step.Version}")}";
        if (busy.Of(step.Worker) >= pool.Slots)
            return pool.Slots == 1 ? $"the one slot of {step.Worker} is busy" : $"all {pool.Slots} slots of {step.Worker} are busy";
        return step.Attempts.Count > 0 ? "the pause before the next attempt" : null;
    }
}
