using System.Data.Common;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Serilog;
using TinyMLaaS.Contracts;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Builds the process that hosts one service or several.</summary>
public static class ServiceHost
{
    private const string ListenerKey = "tinymlaas-service";

    /// <summary>
    /// A host with the modules' services, one bus with their consumers, and one listener a service. A request is answered by the service
    /// whose listener it came in on and by no other; a listener whose module is absent answers health alone and says so.
    /// </summary>
    /// <param name="modules">The services of this process.</param>
    /// <param name="listeners">Where they listen.</param>
    /// <param name="configuration">Settings that take precedence over the environment.</param>
    /// <param name="log">Where the log goes.</param>
    /// <param name="bus">What carries the messages.</param>
    public static WebApplication Build(
        IReadOnlyList<ServiceModule> modules,
        IReadOnlyList<ServiceListener> listeners,
        IReadOnlyDictionary<string, string?> configuration,
        Serilog.ILogger log,
        ServiceBus bus = ServiceBus.InMemory)
    {
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ApplicationName = "tinymlaas" });
        builder.Configuration.AddInMemoryCollection(configuration);
        builder.Services.AddSerilog(log, dispose: false);
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddSingleton<Loops>();
        builder.Services.AddSingleton<ReadinessGauge>();
        builder.Services.AddProblemDetails();
        builder.Services.ConfigureHttpJsonOptions(json => ContractJson.Configure(json.SerializerOptions));
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            // Bodies are bounded by each endpoint: a model may be large, a document may not.
            kestrel.Limits.MaxRequestBodySize = null;
            foreach (var listener in listeners)
            {
                void Tag(Microsoft.AspNetCore.Server.Kestrel.Core.ListenOptions options) => options.Use(next => connection =>
                {
                    connection.Items[ListenerKey] = listener.Service;
                    return next(connection);
                });
                if (listener.SocketPath is { } path)
                    kestrel.ListenUnixSocket(path, Tag);
                else
                    kestrel.Listen(listener.Tcp!, Tag);
            }
        });
        builder.Services.AddSingleton<IMemoryPoolFactory<byte>, ConnectionMemory>();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.Services.AddSingleton(listeners);
        foreach (var module in modules)
            builder.Services.AddSingleton(module);
        builder.Services.AddServiceAuthorization();
        builder.AddTelemetry(modules);
        foreach (var module in modules)
            module.AddServices(builder);
        if (modules.Any(m => m.UsesBus))
            builder.Services.AddServiceBus(modules, bus);

        var app = builder.Build();
        app.UseExceptionHandler(new ExceptionHandlerOptions { ExceptionHandler = AnswerUnexpectedAsync });
        var scopes = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("TinyMLaaS.Requests");
        var hasCredentials = !string.IsNullOrEmpty(app.Configuration[$"{ServiceCredentialOptions.Section}:{nameof(ServiceCredentialOptions.CredentialFile)}"]);
        foreach (var service in listeners.Select(l => l.Service).Distinct())
        {
            var module = modules.SingleOrDefault(m => m.Name == service);
            app.MapWhen(http => ServiceOf(http) == service, branch =>
            {
                branch.UseRouting();
                branch.UseAuthorization();
                branch.Use((http, next) => StepScope.AnswerAsync(http, next, scopes, module?.FacesClients == true));
                branch.UseEndpoints(routes =>
                {
                    HealthEndpoints.Map(routes, service, hosted: module is not null);
                    // They tell of all tenants: where others than this machine come in, only who has a credential reads them.
                    if (hasCredentials || !listeners.Any(l => l.Service == service && l.IsBeyondLoopback))
                        routes.MapMetrics(service, hosted: module is not null).RequireAuthorization(ServiceAuthorization.ServicePolicy);
                    module?.MapEndpoints(module.FacesClients ? routes : routes.MapGroup("").RequireAuthorization(ServiceAuthorization.ServicePolicy));
                });
                branch.Run(http => Problems.Result(
                    StatusCodes.Status404NotFound, "no-such-route", "There is nothing at this address",
                    $"{service} has no route {http.Request.Method} {http.Request.Path}.").ExecuteAsync(http));
            });
        }
        return app;
    }

    private static string? ServiceOf(HttpContext http) =>
        http.Features.Get<IConnectionItemsFeature>()?.Items.TryGetValue(ListenerKey, out var service) == true ? (string?)service : null;

    private static Task AnswerUnexpectedAsync(HttpContext http) => (http.Features.Get<IExceptionHandlerFeature>()?.Error switch
    {
        BadHttpRequestException bad => Problems.Result(bad.StatusCode, "bad-request", "The request cannot be read", bad.Message),
        { } error when IsDatabaseAway(error) => Problems.Result(
            StatusCodes.Status503ServiceUnavailable, "service-unavailable", "A service that is needed does not answer",
            $"The database of {ServiceOf(http)} is unavailable. Try again; /health/ready says what is missing."),
        _ => Problems.Result(
            StatusCodes.Status500InternalServerError, "internal-error", "A bug of ours",
            "The request failed unexpectedly; the log has the details under the trace id."),
    }).ExecuteAsync(http);

    private static bool IsDatabaseAway(Exception error) => error is DbException { IsTransient: true } || (error.InnerException is { } inner && IsDatabaseAway(inner));
}
