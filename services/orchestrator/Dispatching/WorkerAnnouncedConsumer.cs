using MassTransit;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Dispatching;

internal sealed class WorkerAnnouncedConsumer(WorkerPools pools, RunChanges changes) : IConsumer<WorkerAnnounced>
{
    public Task Consume(ConsumeContext<WorkerAnnounced> context)
    {
        pools.Note(context.Message);
        changes.NotifyAny();
        return Task.CompletedTask;
    }
}
