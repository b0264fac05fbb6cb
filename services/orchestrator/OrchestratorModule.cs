using MassTransit;
using MassTransit.Configuration;
using MassTransit.Saga;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using TinyMLaaS.Orchestrator.Dispatching;
using TinyMLaaS.Orchestrator.Endpoints;
using TinyMLaaS.Orchestrator.Events;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Orchestrator.Telemetry;
using TinyMLaaS.Persistence;
using TinyMLaaS.Persistence.Outbox;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator;

/// <summary>Runs pipelines: keeps every run as rows, offers steps to workers under leases, and commits each result once.</summary>
public sealed class OrchestratorModule : ServiceModule
{
    internal const string ServiceName = "orchestrator";

    private const string RunsQueue = "v1.orchestrator.runs";
    private const int ConcurrentMessages = 16;

    /// <inheritdoc/>
    public override string Name => ServiceName;

    /// <inheritdoc/>
    public override void AddServices(IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<OrchestratorOptions>()
            .BindConfiguration(OrchestratorOptions.Section)
            .ValidateDataAnnotations()
            .ValidateOnStart();
        builder.Services.AddSingleton<IValidateOptions<OrchestratorOptions>, OrchestratorOptionsValidation>();
        builder.AddServiceDatabase<OrchestratorDbContext, OrchestratorPostgresDbContext>(ServiceName, OrchestratorOptions.Section, OrchestratorDbContext.SchemaName);
        builder.Services.AddTransactionalOutbox<OrchestratorDbContext>();
        builder.Services.AddSingleton<RunChanges>();
        builder.Services.AddSingleton<IInterceptor, RunCommits>();
        builder.Services.AddSingleton<EventSignals>();
        builder.Services.AddSingleton<EventReaders>();
        builder.Services.AddSingleton<IInterceptor, EventCommits>();
        builder.Services.AddSingleton<IInterceptor, RunMetrics>();
        builder.Services.AddSingleton<QueueGauges>().AddHostedService(p => p.GetRequiredService<QueueGauges>());
        builder.Services.AddSingleton<LogRetention>().AddHostedService(p => p.GetRequiredService<LogRetention>());
        builder.Services.AddSingleton<EventPositions>().AddHostedService(p => p.GetRequiredService<EventPositions>());
        builder.Services.AddSingleton<EventPublisher>().AddHostedService(p => p.GetRequiredService<EventPublisher>());
        builder.Services.AddSingleton<IMigration, EventExchange>();
        builder.Services.AddSingleton<WorkerPools>();
        builder.Services.AddSingleton<Sweeper>().AddHostedService(p => p.GetRequiredService<Sweeper>());
        builder.Services.AddSingleton<StepOffers>();
        builder.Services.AddSingleton<Dispatcher>().AddHostedService(p => p.GetRequiredService<Dispatcher>());
    }

    /// <inheritdoc/>
    public override void AddConsumers(IBusRegistrationConfigurator bus)
    {
        bus.AddSagaStateMachine<PipelineRunStateMachine, PipelineRun>().Repository(repository =>
        {
            repository.RegisterSagaRepository<PipelineRun, OrchestratorDbContext, SagaConsumeContextFactory<OrchestratorDbContext, PipelineRun>, PipelineRunRepositoryContextFactory>();
            repository.RegisterLoadSagaRepository<PipelineRun, PipelineRunReadContextFactory>();
            repository.RegisterQuerySagaRepository<PipelineRun, PipelineRunReadContextFactory>();
        });
        bus.AddConsumer<WorkerAnnouncedConsumer>();
    }

    /// <inheritdoc/>
    public override void ConfigureBus(IBusRegistrationContext context, IBusFactoryConfigurator bus)
    {
        bus.ReceiveEndpoint(RunsQueue, endpoint =>
        {
            endpoint.UseDurableQueue(RunsQueue);
            endpoint.PrefetchCount = ConcurrentMessages;
            endpoint.ConcurrentMessageLimit = ConcurrentMessages;
            endpoint.UseConsumeFilter(typeof(MessageScope<>), context);
            endpoint.UseDatabaseRetry();
            // Answers and messages are rows of the same commit.
            endpoint.UseTransactionalOutbox<OrchestratorDbContext>(context);
            endpoint.ConfigureSaga<PipelineRun>(context);
        });
        // A queue of this instance alone: every orchestrator needs to know which workers are there.
        bus.ReceiveInstance(Name, "pools", endpoint =>
        {
            endpoint.UseDatabaseRetry();
            endpoint.ConfigureConsumer<WorkerAnnouncedConsumer>(context);
        });
    }

    /// <inheritdoc/>
    public override void MapEndpoints(IEndpointRouteBuilder routes)
    {
        RunEndpoints.Map(routes);
        EventEndpoints.Map(routes);
        ReferenceEndpoints.Map(routes);
    }
}
