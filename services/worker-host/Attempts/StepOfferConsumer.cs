using MassTransit;
using TinyMLaaS.Contracts.Steps;

namespace TinyMLaaS.WorkerHost.Attempts;

internal sealed class StepOfferConsumer(Worker worker) : IConsumer<StepOffer>
{
    public Task Consume(ConsumeContext<StepOffer> context) => worker.TakeAsync(context.Message, context.CancellationToken);
}
