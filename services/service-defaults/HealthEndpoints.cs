using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Health;

namespace TinyMLaaS.ServiceDefaults;

internal static class HealthEndpoints
{
    private static readonly TimeSpan CheckLimit = TimeSpan.FromSeconds(5);

    public static void Map(IEndpointRouteBuilder routes, string service, bool hosted)
    {
        routes.MapGet("/health/live", () => Results.Ok()).AllowAnonymous().ExcludeFromDescription();
        routes.MapGet("/health/ready", (HttpContext http, CancellationToken cancellation) => ReadyAsync(http, service, hosted, cancellation)).AllowAnonymous().ExcludeFromDescription();
        routes.MapGet("/health/startup", (HttpContext http) => Started(http, service, hosted)).AllowAnonymous().ExcludeFromDescription();
    }

    private static async Task<IResult> ReadyAsync(HttpContext http, string service, bool hosted, CancellationToken cancellation)
    {
        if (!hosted)
            return LeftOut(service);
        return Answer(service, await MissingAsync(http, service, cancellation));
    }

    /// <summary>What is missing now, as the metrics show it from here on.</summary>
    public static async Task<IReadOnlyList<MissingService>> MissingAsync(HttpContext http, string service, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(CheckLimit);
        var missing = new List<MissingService>();
        foreach (var check in ChecksOf(http, service))
        {
            try
            {
                // Not every check looks at the token while it waits.
                missing.AddRange(await check.CheckAsync(limit.Token).WaitAsync(limit.Token));
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                missing.Add(new MissingService { Service = service, Reason = $"a readiness check took more than {CheckLimit.TotalSeconds} s" });
            }
        }
        missing.AddRange(http.RequestServices.GetRequiredService<Loops>().Missing(service));
        // Services behind this one may miss what it misses itself.
        IReadOnlyList<MissingService> each = [.. missing.DistinctBy(m => m.Service)];
        http.RequestServices.GetRequiredService<ReadinessGauge>().Note(service, each);
        return each;
    }

    /// <summary>That the database has its migrations needs no check: before it has, the process does not listen.</summary>
    private static IResult Started(HttpContext http, string service, bool hosted) => hosted
        ? Answer(service, [.. ChecksOf(http, service).SelectMany(c => c.NotBegun()), .. http.RequestServices.GetRequiredService<Loops>().NotBegun(service)])
        : LeftOut(service);

    private static IEnumerable<IReadinessCheck> ChecksOf(HttpContext http, string service) => http.RequestServices.GetServices<IReadinessCheck>().Where(c => c.Service == service);

    private static IResult LeftOut(string service) => Answer(service, [new MissingService { Service = service, Reason = "it was left out of this process" }]);

    private static IResult Answer(string service, IReadOnlyList<MissingService> missing) => Results.Json(
        new Readiness { Service = service, Missing = missing },
        ContractJson.Options,
        statusCode: missing.Count == 0 ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
}
