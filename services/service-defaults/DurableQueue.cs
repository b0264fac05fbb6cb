using MassTransit;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>What a queue is on RabbitMQ whose messages somebody counts on. On other transports there is nothing to say.</summary>
public static class DurableQueue
{
    /// <summary>
    /// A message whose handler takes the process down is delivered so often; then it lies in the dead-letter queue. Messages whose handler throws go to the error
    /// queue at once.
    /// </summary>
    public const int DeliveryLimit = 10;

    /// <summary>Name of the queue that holds what could not be delivered.</summary>
    public static string DeadLettersOf(string queue) => $"{queue}_dead";

    /// <summary>
    /// A quorum queue with a delivery limit and a dead-letter queue that nothing falls past. The type of a queue cannot change later, so a queue of another type
    /// needs another version in its name.
    /// </summary>
    /// <param name="endpoint">The endpoint.</param>
    /// <param name="queue">Its queue.</param>
    public static void UseDurableQueue(this IReceiveEndpointConfigurator endpoint, string queue)
    {
        if (endpoint is not IRabbitMqReceiveEndpointConfigurator rabbit)
            return;
        rabbit.SetQuorumQueue();
        rabbit.SetQueueArgument("x-delivery-limit", DeliveryLimit);
        rabbit.SetQueueArgument("x-overflow", "reject-publish");
        rabbit.SetQueueArgument("x-dead-letter-strategy", "at-least-once");
        var dead = DeadLettersOf(queue);
        rabbit.BindDeadLetterQueue(dead, dead, letters => letters.SetQueueArgument("x-queue-type", "quorum"));
    }
}
