using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Persistence;
using TinyMLaaS.Persistence.Outbox;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Artifacts;
using TinyMLaaS.PipelineApi.Datasets;
using TinyMLaaS.PipelineApi.Events;
using TinyMLaaS.PipelineApi.Garbage;
using TinyMLaaS.PipelineApi.Health;
using TinyMLaaS.PipelineApi.Models;
using TinyMLaaS.PipelineApi.Pipelines;
using TinyMLaaS.PipelineApi.Registry;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Runs;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.PipelineApi.Transformers;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi;

/// <summary>
/// The address that clients know: accepts and checks requests, keeps models, datasets, pipelines and the catalogue, and passes files and
/// runs through to the services behind it. Options: section <c>PipelineApi</c>.
/// </summary>
public sealed class PipelineApiModule : ServiceModule
{
    internal const string ServiceName = "pipeline-api";

    private const string OpenApiDocument = "v1";
    private static readonly TimeSpan CancelLimit = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public override string Name => ServiceName;

    /// <inheritdoc/>
    public override bool FacesClients => true;

    /// <inheritdoc/>
    public override IReadOnlyList<ServiceVerb> Verbs => [CreateKeyVerb.Verb, CollectGarbageVerb.Verb];

    /// <inheritdoc/>
    public override void AddServices(IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<PipelineApiOptions>().BindConfiguration(PipelineApiOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        builder.AddServiceDatabase<PipelineApiDbContext, PipelineApiPostgresDbContext>(ServiceName, PipelineApiOptions.Section, PipelineApiDbContext.SchemaName);
        builder.Services.AddAccounts();
        builder.Services.AddRegistry();
        builder.AddServiceClient<ArtifactStoreUpstream>(ArtifactStoreUpstream.ServiceName);
        builder.AddServiceClient<OrchestratorUpstream>(OrchestratorUpstream.ServiceName);
        builder.Services.AddTransactionalOutbox<PipelineApiDbContext>();
        builder.Services.AddSingleton<WorkerPresence>();
        builder.Services.AddSingleton<PipelineValidator>();
        builder.Services.AddSingleton<RunKeysInFlight>();
        builder.Services.AddScoped<RunAcceptance>();
        builder.Services.AddSingleton<HandOver>();
        builder.Services.AddHostedService(services => services.GetRequiredService<HandOver>());
        // In the order in which references are handed on: from names to requests to runs.
        builder.Services.AddScoped<IArtifactReferences, RequestReferences>();
        builder.Services.AddScoped<IArtifactReferences, RunReferences>();
        builder.Services.AddScoped<IArtifactReferences, RegistryReferences>();
        builder.Services.AddScoped<GarbageCollection>();
        builder.Services.AddHostedService<GarbageCollector>();
        builder.Services.AddScoped<IReadinessCheck, PipelineReadiness>();
        // One process may host other services as well; their routes are no part of the public interface.
        builder.Services.AddOpenApi(OpenApiDocument, openApi =>
        {
            openApi.ShouldInclude = route => route.ActionDescriptor.EndpointMetadata.OfType<PublicRoute>().Any();
            openApi.DescribeKeys();
        });
    }

    /// <inheritdoc/>
    public override void AddConsumers(IBusRegistrationConfigurator bus)
    {
        bus.AddConsumer<WorkerAnnouncedConsumer>();
        bus.AddRequestClient<CancelRun>(CancelLimit);
        bus.AddRequestClient<ResumeRun>(CancelLimit);
    }

    /// <inheritdoc/>
    // A queue of this process alone, gone with it: presence is in memory, so every process must hear every announcement.
    public override void ConfigureBus(IBusRegistrationContext context, IBusFactoryConfigurator bus) =>
        bus.ReceiveInstance(Name, "announcements", endpoint =>
        {
            // Announcements of one worker write the same rows.
            endpoint.ConcurrentMessageLimit = 1;
            endpoint.UseDatabaseRetry();
            endpoint.ConfigureConsumer<WorkerAnnouncedConsumer>(context);
        });

    /// <inheritdoc/>
    public override void MapEndpoints(IEndpointRouteBuilder routes)
    {
        var open = routes.MapGroup("").WithMetadata(new PublicRoute());
        open.AddEndpointFilter(AnswerUnavailableAsync);
        KeyEndpoints.Map(open);
        ArtifactEndpoints.Map(open);
        ModelEndpoints.Map(open);
        DatasetEndpoints.Map(open);
        TransformerEndpoints.Map(open);
        PipelineEndpoints.Map(open);
        RunEndpoints.Map(open);
        EventEndpoints.Map(open);
        // Its interface is described by its specification.
        RegistryEndpoints.Map(routes);
        // The description of the interface holds nothing of any tenant.
        routes.MapOpenApi("/openapi/{documentName}.json").AllowAnonymous();
    }

    private static async ValueTask<object?> AnswerUnavailableAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        try
        {
            return await next(context);
        }
        catch (ServiceUnavailableException e)
        {
            return Upstream.Unavailable(e.Service, e.Reason);
        }
    }

    private sealed class PublicRoute;
}
