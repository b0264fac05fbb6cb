using MassTransit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.WorkerHost.Attempts;
using TinyMLaaS.WorkerHost.Isolation;

namespace TinyMLaaS.WorkerHost;

/// <summary>A worker: a list of transformers, and the loop that every worker runs around them.</summary>
public abstract class WorkerModule : ServiceModule
{
    /// <summary>What this worker can do; names start with <c>&lt;worker&gt;/</c>.</summary>
    protected abstract IReadOnlyList<ITransformer> CreateTransformers();

    /// <summary>What outputs must pass before they are stored.</summary>
    protected virtual IReadOnlyList<IArtifactCheck> CreateChecks() => [];

    /// <summary>
    /// True for a worker whose transformers or checks run native code: each attempt runs in a process of its own, which is the module's own assembly as a program
    /// (<see cref="WorkerProgram"/>), so that a crash or an exhausted memory costs the attempt and nothing else.
    /// </summary>
    protected virtual bool IsIsolated => false;

    /// <summary>Loads what every attempt needs. Runs in the process of the attempt, before there is work.</summary>
    protected virtual void Prepare()
    {
    }

    /// <summary>What a process of one attempt needs of the worker.</summary>
    internal (IReadOnlyList<ITransformer> Transformers, IReadOnlyList<IArtifactCheck> Checks) PrepareForOneAttempt()
    {
        Prepare();
        return (CreateTransformers(), CreateChecks());
    }

    /// <inheritdoc/>
    public override void AddServices(IHostApplicationBuilder builder)
    {
        ILogger Log(IServiceProvider provider) => provider.GetRequiredService<ILoggerFactory>().CreateLogger($"TinyMLaaS.Worker.{Name}");
        builder.Services.AddOptions<WorkerOptions>().BindConfiguration(WorkerOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        builder.AddServiceClient<ArtifactStoreClient>(ArtifactStoreClient.Service);
        builder.Services.AddKeyedSingleton(Name, (provider, _) =>
        {
            var options = provider.GetRequiredService<IOptions<WorkerOptions>>().Value;
            var log = Log(provider);
            return new Worker(
                Name,
                CreateTransformers(),
                IsIsolated ? new ChildProcesses(ChildProgram.Of(GetType().Assembly, options.MemoryLimit), log) : new ThisProcess(CreateChecks()),
                options,
                provider.GetRequiredService<IBus>(),
                provider.GetRequiredService<ArtifactStoreClient>(),
                provider.GetRequiredService<Loops>(),
                provider.GetRequiredService<TimeProvider>(),
                log);
        });
        builder.Services.AddSingleton<IHostedService>(provider => new WorkerLife(
            provider.GetRequiredKeyedService<Worker>(Name),
            provider.GetRequiredService<IBus>(),
            provider.GetRequiredService<Loops>(),
            provider.GetRequiredService<TimeProvider>(),
            Log(provider)));
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
            endpoint.UseDurableQueue(Worker.QueueOf(Name));
            endpoint.PrefetchCount = slots;
            endpoint.ConcurrentMessageLimit = slots;
            endpoint.Consumer(() => new StepOfferConsumer(ThisWorker()));
        });
        // A queue of this instance alone: the stop order reaches everyone, and whoever runs the attempt obeys.
        bus.ReceiveInstance(Name, "cancel", endpoint => endpoint.Consumer(() => new CancelAttemptConsumer(ThisWorker())));
    }
}
