using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Events;

/// <summary>Tells <see cref="EventSignals"/> of every transaction that has committed events.</summary>
internal sealed class EventCommits(EventSignals signals) : DbTransactionInterceptor
{
    public override Task TransactionCommittedAsync(DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken = default)
    {
        if (eventData.Context is OrchestratorDbContext database && database.ChangeTracker.Entries<RunEvent>().Any())
            signals.Committed.Set();
        return Task.CompletedTask;
    }
}
