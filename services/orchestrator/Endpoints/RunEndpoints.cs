using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using Microsoft.Net.Http.Headers;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Dispatching;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator.Endpoints;

/// <summary>Runs over HTTP, for pipeline-api alone: it names the tenant in a header.</summary>
internal static class RunEndpoints
{
    private const int DefaultPageSize = 20;
    private const int MaxPageSize = 100;
    private const int MaxEvents = 1000;
    private static readonly TimeSpan FallbackPoll = TimeSpan.FromSeconds(1);

    public static void Map(IEndpointRouteBuilder routes)
    {
        var runs = routes.MapGroup("/v1/runs");
        runs.MapGet("/", ListAsync);
        runs.MapGet("/{id:guid}", GetAsync);
        runs.MapGet("/{id:guid}/events", EventsAsync);
        runs.MapGet("/{id:guid}/steps/{step:int}", StepAsync);
        runs.MapGet("/{id:guid}/steps/{step:int}/logs", LogsAsync);
        runs.MapGet("/{id:guid}/steps/{step:int}/report", ReportAsync);
        routes.MapGet("/v1/run-states", StatesAsync);
    }

    private static async Task<IResult> ListAsync(
        HttpRequest request, OrchestratorDbContext database, WorkerPools pools, string? state, int? page_size, string? page_token, CancellationToken cancellation)
    {
        if (TenantOf(request) is not { } tenant)
            return NoTenant();
        var violations = new List<Violation>();
        if (state is not null && !States.Contains(state))
            violations.Add(new Violation { Field = "state", Code = "unknown-state", Message = $"There is no run state '{state}'. Expected one of {string.Join(", ", States)}." });
        if (page_size is < 1 or > MaxPageSize)
            violations.Add(new Violation { Field = "page_size", Code = "out-of-range", Message = $"page_size is {page_size}. Expected 1 to {MaxPageSize}." });
        var after = page_token is null ? null : PageToken.Read(page_token);
        if (page_token is not null && after is null)
            violations.Add(new Violation { Field = "page_token", Code = "bad-page-token", Message = "page_token is not one that this list gave out. Leave it out to start again." });
        if (violations.Count > 0)
            return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", errors: violations);

        var query = database.WholeRuns.AsNoTracking().Where(r => r.Tenant == tenant);
        if (state is not null)
        {
            var name = char.ToUpperInvariant(state[0]) + state[1..];
            query = query.Where(r => r.CurrentState == name);
        }
        if (after is { } cursor)
            query = query.Where(r => r.AcceptedAt < cursor.At || (r.AcceptedAt == cursor.At && r.CorrelationId.CompareTo(cursor.Run) < 0));
        var size = page_size ?? DefaultPageSize;
        var found = await query.OrderByDescending(r => r.AcceptedAt).ThenByDescending(r => r.CorrelationId).Take(size + 1).ToListAsync(cancellation);
        var waiting = await WaitingReasons.ReadAsync(database, pools, cancellation);
        return Results.Ok(new RunPage
        {
            Runs = [.. found.Take(size).Select(r => RunResources.Of(r, waiting))],
            NextPageToken = found.Count > size ? PageToken.Write(found[size - 1]) : null,
        });
    }

    /// <summary>The states of the named runs, without those that are not here.</summary>
    private static async Task<IResult> StatesAsync(HttpRequest request, OrchestratorDbContext database, Guid[] run, CancellationToken cancellation)
    {
        if (TenantOf(request) is not { } tenant)
            return NoTenant();
        if (run.Length > MaxPageSize)
            return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", $"The states of {run.Length} runs were asked for. Ask for at most {MaxPageSize} at once.");
        var states = await database.Runs.Where(r => run.Contains(r.CorrelationId) && r.Tenant == tenant).Select(r => new { r.CorrelationId, r.CurrentState }).ToListAsync(cancellation);
        return Results.Ok(states.ToDictionary(r => r.CorrelationId, r => r.CurrentState.ToLowerInvariant()));
    }

    private static async Task<IResult> GetAsync(
        HttpContext http, OrchestratorDbContext database, WorkerPools pools, RunChanges changes, TimeProvider time, Guid id, string? wait, CancellationToken cancellation)
    {
        if (TenantOf(http.Request) is not { } tenant)
            return NoTenant();
        if (!Waiting.TryRead(wait, out var limit))
            return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", Waiting.Refusal(wait));
        var known = KnownVersion(http.Request);
        var start = time.GetTimestamp();
        using var watch = changes.Watch(id);
        while (true)
        {
            var change = watch.Next();
            var seen = await database.Runs.AsNoTracking().Where(r => r.CorrelationId == id && r.Tenant == tenant).Select(r => new { r.Version, r.CurrentState }).SingleOrDefaultAsync(cancellation);
            if (seen is null)
                return NoRun(id);
            var left = limit - time.GetElapsedTime(start);
            var terminal = RunStates.IsTerminal(seen.CurrentState.ToLowerInvariant());
            // Without a known version only the end is worth waiting for.
            var news = known is null ? terminal : seen.Version != known;
            if (news || terminal || left <= TimeSpan.Zero)
            {
                http.Response.Headers.ETag = $"\"{seen.Version}\"";
                if (known == seen.Version)
                    return Results.StatusCode(StatusCodes.Status304NotModified);
                break;
            }
            await Waiting.ForAsync(change, left < FallbackPoll ? left : FallbackPoll, time, cancellation);
        }
        var run = await database.WholeRuns.AsNoTracking().SingleAsync(r => r.CorrelationId == id, cancellation);
        http.Response.Headers.ETag = $"\"{run.Version}\"";
        return Results.Ok(RunResources.Of(run, await WaitingReasons.ReadAsync(database, pools, cancellation)));
    }

    private static async Task<IResult> EventsAsync(HttpRequest request, OrchestratorDbContext database, Guid id, long? after, CancellationToken cancellation)
    {
        if (TenantOf(request) is not { } tenant)
            return NoTenant();
        if (!await database.Runs.AnyAsync(r => r.CorrelationId == id && r.Tenant == tenant, cancellation))
            return NoRun(id);
        var from = after ?? 0;
        var events = await database.Events.AsNoTracking().Where(e => e.RunId == id && e.Sequence > from).OrderBy(e => e.Sequence).Take(MaxEvents).ToListAsync(cancellation);
        return Results.Ok(events.Select(e => new RunEventEntry { Sequence = e.Sequence, Type = e.Type, At = e.At, Data = JsonElement.Parse(e.Data) }).ToList());
    }

    private static async Task<IResult> StepAsync(HttpRequest request, OrchestratorDbContext database, WorkerPools pools, Guid id, int step, CancellationToken cancellation)
    {
        if (TenantOf(request) is not { } tenant)
            return NoTenant();
        var run = await database.WholeRuns.AsNoTracking().SingleOrDefaultAsync(r => r.CorrelationId == id && r.Tenant == tenant, cancellation);
        if (run is null)
            return NoRun(id);
        return run.Step(step) is { } found
            ? Results.Ok(RunResources.Of(run, found, await WaitingReasons.ReadAsync(database, pools, cancellation)))
            : NoStep(id, step);
    }

    private static async Task<IResult> ReportAsync(HttpRequest request, OrchestratorDbContext database, Guid id, int step, CancellationToken cancellation)
    {
        if (TenantOf(request) is not { } tenant)
            return NoTenant();
        var run = await database.WholeRuns.AsNoTracking().SingleOrDefaultAsync(r => r.CorrelationId == id && r.Tenant == tenant, cancellation);
        if (run is null)
            return NoRun(id);
        if (run.Step(step) is not { } found)
            return NoStep(id, step);
        return found.Report is { } report
            ? Results.Ok(report)
            : Problems.Result(StatusCodes.Status404NotFound, "no-report-yet", "There is no report", $"Step {step} of run {id} is {found.State}; it has a report once it succeeded.");
    }

    private static async Task<IResult> LogsAsync(
        HttpContext http, OrchestratorDbContext database, RunChanges changes, TimeProvider time, Guid id, int step, string? follow, string? after, string? attempt, string? wait, string? page_size, CancellationToken cancellation)
    {
        if (TenantOf(http.Request) is not { } tenant)
            return NoTenant();
        if (!await database.Runs.AnyAsync(r => r.CorrelationId == id && r.Tenant == tenant, cancellation))
            return NoRun(id);
        if (!await database.Steps.AnyAsync(s => s.RunId == id && s.Position == step, cancellation))
            return NoStep(id, step);
        var asksPage = http.Request.GetTypedHeaders().Accept.Any(a => a.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase));
        if (!LogQuery.TryRead(asksPage, follow, after, attempt, wait, page_size, out var query, out var violations))
            return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", errors: violations);
        var log = new LogReader(database, changes, time, id, step);
        return asksPage
            ? Results.Ok(await log.ReadPageAsync(query, cancellation))
            : Results.Stream(body => log.WriteAsync(body, query, cancellation), "text/plain; charset=utf-8");
    }

    private static readonly string[] States =
        [RunStates.Accepted, RunStates.Running, RunStates.Cancelling, RunStates.Succeeded, RunStates.Failed, RunStates.Cancelled];

    internal static string? TenantOf(HttpRequest request) => request.Headers[ServiceHeaders.Tenant] is [{ Length: > 0 } tenant] ? tenant : null;

    internal static IResult NoTenant() => Problems.Result(
        StatusCodes.Status400BadRequest, "missing-tenant", "The request names no tenant", $"The header {ServiceHeaders.Tenant} is missing. Send requests to pipeline-api, which sets it.");

    private static IResult NoRun(Guid id) => Problems.Result(StatusCodes.Status404NotFound, "no-such-run", "There is no such run", $"There is no run {id}.");

    private static IResult NoStep(Guid id, int step) => Problems.Result(StatusCodes.Status404NotFound, "no-such-step", "There is no such step", $"Run {id} has no step {step}.");

    // Not the newest event: that the end was asked for is a change and no event.
    private static long? KnownVersion(HttpRequest request) =>
        EntityTagHeaderValue.TryParse(request.Headers.IfNoneMatch.ToString(), out var tag)
            && long.TryParse(tag.Tag.AsSpan().Trim('"'), NumberStyles.None, CultureInfo.InvariantCulture, out var version)
            ? version
            : null;
}
