using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// What services tell about themselves: metrics at <c>/metrics</c> for a Prometheus that asks for them, and, only where <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> names a collector, traces to it.
/// Nothing is sent anywhere else.
/// </summary>
public static class Telemetry
{
    /// <summary>Name of the activity source and of the meter.</summary>
    public const string Name = "TinyMLaaS";

    /// <summary>Configuration key of the collector of traces; a standard variable of OpenTelemetry, as are all others about the export.</summary>
    public const string CollectorKey = "OTEL_EXPORTER_OTLP_ENDPOINT";

    private const string MetricsRoute = "/metrics";

    // Seconds: a step without work takes milliseconds, one that trains takes hours.
    private static readonly double[] SecondsBounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400];

    /// <summary>Where spans of our own come from.</summary>
    public static ActivitySource Activities { get; } = new(Name);

    /// <summary>The traceparent (W3C Trace Context) of what happens here now; null when it is not traced.</summary>
    public static string? CurrentParent => Activity.Current is { Recorded: true, IdFormat: ActivityIdFormat.W3C, Id: { } id } ? id : null;

    /// <summary>A histogram of lengths of time in seconds.</summary>
    /// <param name="meter">Whose.</param>
    /// <param name="name">Its name, e.g. <c>tinymlaas.step.duration</c>.</param>
    /// <param name="description">What it tells.</param>
    public static Histogram<double> CreateSeconds(this Meter meter, string name, string description) =>
        meter.CreateHistogram(name, "s", description, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = SecondsBounds });

    /// <summary>Starts a span below a traceparent that came with a message, with a link to the message's delivery; null when nobody listens.</summary>
    /// <param name="name">What is done, e.g. <c>attempt compiler/fuse</c>.</param>
    /// <param name="parent">The traceparent; null or unreadable: below what is done here now.</param>
    public static Activity? Start(string name, string? parent)
    {
        if (!ActivityContext.TryParse(parent, null, isRemote: true, out var context))
            return Activities.StartActivity(name, ActivityKind.Consumer);
        // What is current here is the message's delivery, which is over long before the work: a link leads there.
        ActivityLink[] links = Activity.Current is { } delivery ? [new ActivityLink(delivery.Context)] : [];
        Activity.Current = null;
        return Activities.StartActivity(name, ActivityKind.Consumer, context, links: links);
    }

    internal static void AddTelemetry(this IHostApplicationBuilder builder, IReadOnlyList<ServiceModule> modules)
    {
        var telemetry = builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService(modules.Count == 1 ? modules[0].Name : "standalone", "tinymlaas"))
            .WithMetrics(metrics => metrics
                .AddMeter(Name, "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime")
                .AddPrometheusExporter());
        if (string.IsNullOrWhiteSpace(builder.Configuration[CollectorKey]))
            return;
        telemetry.WithTracing(tracing => tracing
            .AddSource(Name, "MassTransit", "System.Net.Http")
            .AddAspNetCoreInstrumentation(http => http.Filter = IsTraced)
            .AddOtlpExporter());
    }

    /// <summary>Maps the metrics; whether the service is ready is looked at each time that they are read.</summary>
    internal static IEndpointConventionBuilder MapMetrics(this IEndpointRouteBuilder routes, string service, bool hosted) => routes
        .MapPrometheusScrapingEndpoint(MetricsRoute, meterProvider: null, configureBranchedPipeline: branch => branch.Use(async (http, next) =>
        {
            if (hosted)
                await HealthEndpoints.MissingAsync(http, service, http.RequestAborted);
            await next(http);
        }), optionsName: null)
        .WithMetadata(new HttpMethodMetadata([HttpMethods.Get]));

    // Asked all the time by machines, and nobody looks for it.
    private static bool IsTraced(HttpContext http) => !http.Request.Path.StartsWithSegments("/health") && !http.Request.Path.StartsWithSegments(MetricsRoute);
}
