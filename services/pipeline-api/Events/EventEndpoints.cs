using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Runs;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Events;

/// <summary>Events, streamed through from the orchestrator, which has their log.</summary>
internal static class EventEndpoints
{
    // The orchestrator bounds its long poll at a minute, and begins a stream at once.
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(90);

    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/v1/events", GetAsync).RequireScope(Scopes.RunsRead)
        .Produces<EventPage>().Produces<string>(200, "text/event-stream")
        .Produces<Problem>(400, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);

    private static Task<IResult> GetAsync(HttpContext http, OrchestratorUpstream orchestrator, IHostApplicationLifetime host)
    {
        // A stream has no end of its own, and the process must not wait for one.
        http.Response.RegisterForDispose(host.ApplicationStopping.Register(http.Abort));
        return orchestrator.PassAsync(http, "v1/events" + http.Request.QueryString, AnswerLimit);
    }
}
