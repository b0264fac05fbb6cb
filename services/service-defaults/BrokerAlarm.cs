using MassTransit;
using MassTransit.RabbitMqTransport;
using RabbitMQ.Client;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// A broker that runs out of disk or memory lets everybody connect and takes no message: whoever publishes waits until there is room. It says so to the connection, and the bus does not
/// pass that on.
/// </summary>
internal sealed class BrokerAlarm : IReceiveObserver
{
    private IConnection? _observed;
    private string? _reason;

    /// <summary>Why the broker takes no messages of this process; null when it does.</summary>
    public string? Reason => Volatile.Read(ref _reason);

    /// <summary>The first message of a connection shows which it is.</summary>
    public Task PreReceive(ReceiveContext context)
    {
        if (context.TryGetPayload<ConnectionContext>(out var bus) && Interlocked.Exchange(ref _observed, bus.Connection) != bus.Connection)
        {
            // A new connection is not blocked until it hears so itself.
            Volatile.Write(ref _reason, null);
            bus.Connection.ConnectionBlockedAsync += (_, blocked) => SetAsync(bus.Connection, blocked.Reason);
            bus.Connection.ConnectionUnblockedAsync += (_, _) => SetAsync(bus.Connection, null);
        }
        return Task.CompletedTask;
    }

    public Task PostReceive(ReceiveContext context) => Task.CompletedTask;

    public Task PostConsume<T>(ConsumeContext<T> context, TimeSpan duration, string consumerType) where T : class => Task.CompletedTask;

    public Task ConsumeFault<T>(ConsumeContext<T> context, TimeSpan duration, string consumerType, Exception exception) where T : class => Task.CompletedTask;

    public Task ReceiveFault(ReceiveContext context, Exception exception) => Task.CompletedTask;

    private Task SetAsync(IConnection connection, string? reason)
    {
        if (Volatile.Read(ref _observed) == connection)
            Volatile.Write(ref _reason, reason is null ? null : $"RabbitMQ takes no messages until it has room: {reason}");
        return Task.CompletedTask;
    }
}
