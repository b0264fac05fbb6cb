using MassTransit;
using TinyMLaaS.Contracts.Steps;

namespace TinyMLaaS.WorkerHost.Attempts;

internal sealed class CancelAttemptConsumer(Worker worker) : IConsumer<CancelAttempt>
{
    public Task Consume(ConsumeContext<CancelAttempt> context)
    {
        worker.Cancel(context.Message);
        return Task.CompletedTask;
    }
}
