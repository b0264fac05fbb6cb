using MassTransit;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Dispatching;

/// <summary>Keeps the pools up to date. A worker that leaves gives its attempts back at once instead of letting their leases run out.</summary>
internal sealed class WorkerAnnouncedConsumer(WorkerPools pools, RunChanges changes, OrchestratorDbContext database) : IConsumer<WorkerAnnounced>
{
    public async Task Consume(ConsumeContext<WorkerAnnounced> context)
    {
        pools.Note(context.Message);
        changes.NotifyWork();
        if (!context.Message.Leaving)
            return;
        var instance = context.Message.Instance;
        var left = await database.Attempts.AsNoTracking()
            .Where(a => a.State == AttemptStates.Running && a.Worker == instance)
            .Select(a => new WorkerGone { RunId = a.RunId, Fence = a.Fence })
            .ToListAsync(context.CancellationToken);
        foreach (var gone in left)
            await context.Publish(gone, context.CancellationToken);
    }
}
