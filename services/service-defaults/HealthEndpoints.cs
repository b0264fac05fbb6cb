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
        routes.MapGet("/health/startup", (HttpContext http, CancellationToken cancellation) => ReadyAsync(http, service, hosted, cancellation)).AllowAnonymous().ExcludeFromDescription();
    }

    private static async Task<IResult> ReadyAsync(HttpContext http, string service, bool hosted, CancellationToken cancellation)
    {
        if (!hosted)
            return Answer(service, [new MissingService { Service = service, Reason = "it was left out of this process" }]);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(CheckLimit);
        var missing = new List<MissingService>();
        foreach (var check in http.RequestServices.GetServices<IReadinessCheck>().Where(c => c.Service == service))
        {
            try
            {
                missing.AddRange(await check.CheckAsync(limit.Token));
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                missing.Add(new MissingService { Service = service, Reason = $"a readiness check took more than {CheckLimit.TotalSeconds} s" });
            }
        }
        // Services behind this one may miss what it misses itself.
        return Answer(service, [.. missing.DistinctBy(m => m.Service)]);
    }

    private static IResult Answer(string service, IReadOnlyList<MissingService> missing) => Results.Json(
        new Readiness { Service = service, Missing = missing },
        ContractJson.Options,
        statusCode: missing.Count == 0 ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
}
