using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator.Events;

/// <summary>
/// The topic exchange of all events; who wants some binds a queue of his own to it. The routing key is <c>TENANT.SUBJECT.VERB</c>. Declared with the queues of the
/// service, and again by whoever finds it missing.
/// </summary>
internal sealed class EventExchange(BrokerConnections? broker = null) : IMigration
{
    public const string Name = "tinymlaas.events";

    public string Subject => $"the exchange '{Name}'";

    public async Task ApplyAsync(CancellationToken cancellation)
    {
        if (broker is null)
            return;
        await using var connection = await broker.OpenAsync("orchestrator migrate", cancellation);
        await using var channel = await connection.CreateChannelAsync(cancellationToken: cancellation);
        await DeclareAsync(channel, cancellation);
    }

    public static Task DeclareAsync(IChannel channel, CancellationToken cancellation) =>
        channel.ExchangeDeclareAsync(Name, ExchangeType.Topic, durable: true, autoDelete: false, cancellationToken: cancellation);

    /// <summary>False on a broker that has lost it.</summary>
    public static async Task<bool> ExistsAsync(IConnection connection, CancellationToken cancellation)
    {
        // The refusal closes the channel.
        await using var channel = await connection.CreateChannelAsync(cancellationToken: cancellation);
        try
        {
            await channel.ExchangeDeclarePassiveAsync(Name, cancellation);
            return true;
        }
        catch (OperationInterruptedException e) when (e.ShutdownReason?.ReplyCode == Constants.NotFound)
        {
            return false;
        }
    }
}
