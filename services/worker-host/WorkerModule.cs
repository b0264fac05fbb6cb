using MassTransit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.WorkerHost.Attempts;

namespace TinyMLaaS.WorkerHost;

/// <summary>A worker: a list of transformers, and the loop that every worker runs around them.</summary>
public abstract class WorkerModule : ServiceModule
{
    /// <summary>What this worker can do; names start with <c>&lt;worker&gt;/</c>.</summary>
    protected abstract IReadOnlyList<ITransformer> CreateTransformers();

    /// <summary>What outputs must pass before they are stored.</summary>
    protected virtual IReadOnlyList<IArtifactCheck> CreateChecks() => [];

    /// <inheritdoc/>
    public override void AddServices(IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<WorkerOptions>().BindConfiguration(WorkerOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        builder.AddServiceClient<ArtifactStoreClient>(ArtifactStoreClient.Service);
        builder.Services.AddKeyedSingleton(Name, (provider, _) => new Worker(
            Name,
            CreateTransformers(),
            CreateChecks(),
            provider.GetRequiredService<IOptions<WorkerOptions>>().Value,
            provider.GetRequiredService<IBus>(),
            provider.GetRequiredService<ArtifactStoreClient>(),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILoggerFactory>().CreateLogger($"TinyMLaaS.Worker.{Name}")));
        builder.Services.AddSingleton<IHostedService>(provider => new WorkerLife(provider.GetRequiredKeyedService<Worker>(Name), provider.GetRequiredService<IBus>(), provider.GetRequiredService<TimeProvider>()));
        builder.Services.AddSingleton<IReadinessCheck>(provider => new WorkerReadiness(Name, provider.GetRequiredService<IBusControl>()));
    }

    /// <inheritdoc/>
    public override void ConfigureBus(IBusRegistrationContext context, IBusFactoryConfigurator bus)
    {
        // The worker needs the bus, so it is looked up when the first message comes and not while the bus is being made.
        var provider = context.GetRequiredService<IServiceProvider>();
        Worker ThisWorker() => provider.GetRequiredKeyedService<Worker>(Name);
        var slots = context.GetRequiredService<IOptions<WorkerOptions>>().Value.SlotCount;
        bus.ReceiveEndpoint(Worker.QueueOf(Name), endpoint =>
        {
            endpoint.PrefetchCount = slots;
            endpoint.ConcurrentMessageLimit = slots;
            endpoint.Consumer(() => new StepOfferConsumer(ThisWorker()));
        });
        // A queue of this instance alone: the stop order reaches everyone, and whoever runs the attempt obeys.
        bus.ReceiveEndpoint(new TemporaryEndpointDefinition($"cancel-{Name}"), null, endpoint => endpoint.Consumer(() => new CancelAttemptConsumer(ThisWorker())));
    }
}
