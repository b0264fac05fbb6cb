using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>Tells <see cref="RunChanges"/> of every run that a transaction has committed.</summary>
internal sealed class RunCommits(RunChanges changes) : DbTransactionInterceptor
{
    public override Task TransactionCommittedAsync(DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken = default)
    {
        if (eventData.Context is OrchestratorDbContext database)
        {
            foreach (var run in database.ChangeTracker.Entries<PipelineRun>())
                changes.Notify(run.Entity.CorrelationId);
        }
        return Task.CompletedTask;
    }
}
