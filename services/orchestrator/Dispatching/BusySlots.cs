using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Dispatching;

/// <summary>Slots that are taken: by attempts that run and by offers that wait to be claimed.</summary>
internal static class BusySlots
{
    /// <summary>The number for each worker kind that has any.</summary>
    public static async Task<Dictionary<string, int>> CountAsync(OrchestratorDbContext database, CancellationToken cancellation) => await (
        from attempt in database.Attempts.AsNoTracking()
        where attempt.State == AttemptStates.Offered || attempt.State == AttemptStates.Running
        join step in database.Steps on new { attempt.RunId, Position = attempt.Step } equals new { step.RunId, step.Position }
        group attempt by step.Worker into worker
        select new { worker.Key, Count = worker.Count() }).ToDictionaryAsync(w => w.Key, w => w.Count, cancellation);
}
