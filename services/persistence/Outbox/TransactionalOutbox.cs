using MassTransit;
using MassTransit.Configuration;
using MassTransit.Middleware;
using MassTransit.Middleware.Outbox;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;

namespace TinyMLaaS.Persistence.Outbox;

/// <summary>Sends messages that are committed together with rows.</summary>
/// <typeparam name="TContext">Whose rows.</typeparam>
public sealed class TransactionalOutbox<TContext> where TContext : ServiceDbContext
{
    private readonly TContext _database;
    private readonly OutboxSendEndpointProvider _endpoints;
    private readonly OutboxDelivery<TContext> _delivery;

    internal TransactionalOutbox(TContext database, IBus bus, OutboxDelivery<TContext> delivery, IServiceProvider provider, TimeProvider time)
    {
        _database = database;
        _delivery = delivery;
        _endpoints = new OutboxSendEndpointProvider(new Rows(database, provider, time), bus);
    }

    /// <summary>Adds a message to what the context saves next. It leaves after that, whether or not the broker is there now.</summary>
    /// <param name="destination">Where to.</param>
    /// <param name="id">Its message id: with the same one it is the same message, however often it is sent.</param>
    /// <param name="message">A contract record.</param>
    /// <param name="cancellation">Ends the wait.</param>
    public async Task AddAsync<T>(Uri destination, Guid id, T message, CancellationToken cancellation) where T : class
    {
        var endpoint = await _endpoints.GetSendEndpoint(destination);
        await endpoint.Send(message, Pipe.Execute<SendContext<T>>(context => context.MessageId = id), cancellation);
    }

    /// <summary>True while a message has not left.</summary>
    public async Task<bool> HoldsAsync(Guid id, CancellationToken cancellation) => await _database.FindAsync<OutboxMessage>([id], cancellation) is not null;

    /// <summary>Says that rows were committed; without it they leave within a second.</summary>
    public void Committed() => _delivery.Wake();

    private sealed class Rows(TContext database, IServiceProvider provider, TimeProvider time) : OutboxSendContext
    {
        private int _count;

        public Task AddSend<T>(SendContext<T> context) where T : class
        {
            database.Add(OutboxMessage.From(context, inbox: null, _count++, time.GetUtcNow(), TimeSpan.Zero));
            return Task.CompletedTask;
        }

        public object? GetService(Type serviceType) => provider.GetService(serviceType);
    }
}

/// <summary>Registers the outbox of a service.</summary>
public static class TransactionalOutboxRegistration
{
    // A handler sends a few messages; all of them leave in one pass.
    private const int DeliveryLimit = 1000;

    /// <summary>Registers the outbox in the database of <typeparamref name="TContext"/> and the sweeper that empties it.</summary>
    public static void AddTransactionalOutbox<TContext>(this IServiceCollection services) where TContext : ServiceDbContext
    {
        services.TryAddSingleton<OutboxDelivery<TContext>>();
        services.AddSingleton<IHostedService>(provider => provider.GetRequiredService<OutboxDelivery<TContext>>());
        services.TryAddSingleton<OutboxGauges<TContext>>();
        services.AddSingleton<IHostedService>(provider => provider.GetRequiredService<OutboxGauges<TContext>>());
        services.TryAddScoped<IOutboxContextFactory<TContext>, OutboxContextFactory<TContext>>();
        services.TryAddScoped(provider => new TransactionalOutbox<TContext>(
            provider.GetRequiredService<TContext>(), provider.GetRequiredService<IBus>(), provider.GetRequiredService<OutboxDelivery<TContext>>(), provider, provider.GetRequiredService<TimeProvider>()));
    }

    /// <summary>
    /// Lets every handler of the endpoint run in a transaction with an inbox row, and hold back what it sends until the commit. Retries go before it, so that
    /// each starts from the rows with nothing left over from the last.
    /// </summary>
    public static void UseTransactionalOutbox<TContext>(this IReceiveEndpointConfigurator endpoint, IRegistrationContext context) where TContext : ServiceDbContext
    {
        var observer = new OutboxConsumePipeSpecificationObserver<TContext>(endpoint, context) { MessageDeliveryLimit = DeliveryLimit };
        endpoint.ConnectConsumerConfigurationObserver(observer);
        endpoint.ConnectSagaConfigurationObserver(observer);
    }
}
