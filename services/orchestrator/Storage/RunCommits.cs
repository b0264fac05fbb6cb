using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>Tells <see cref="RunChanges"/> of every run that a transaction has committed, and whether there may be something to dispatch now.</summary>
internal sealed class RunCommits(RunChanges changes) : DbTransactionInterceptor
{
    /// <summary>An attempt that goes on its way: no slot becomes free by it, and no step becomes ready. Half of all commits are of this kind.</summary>
    private static readonly HashSet<string> OnItsWay = new(
        [EventTypes.TypeOf("step.offered"), EventTypes.TypeOf("run.started"), EventTypes.TypeOf("step.started"), EventTypes.TypeOf("step.progressed")], StringComparer.Ordinal);

    public override Task TransactionCommittedAsync(DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken = default)
    {
        if (eventData.Context is not OrchestratorDbContext database)
            return Task.CompletedTask;
        var work = false;
        foreach (var run in database.ChangeTracker.Entries<PipelineRun>())
        {
            changes.Notify(run.Entity.CorrelationId);
            // A run that is ending gives slots back without an event for each.
            work |= !run.Entity.IsActive || run.Entity.Waiting.Any();
        }
        if (work || database.ChangeTracker.Entries<RunEvent>().Any(e => !OnItsWay.Contains(e.Entity.Type)))
            changes.NotifyWork();
        return Task.CompletedTask;
    }
}
