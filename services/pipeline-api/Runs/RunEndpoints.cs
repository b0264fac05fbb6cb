using System.Text.Json;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Artifacts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.Reports;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>Runs: accepted here, then read from the orchestrator, which knows how they go.</summary>
internal static class RunEndpoints
{
    // What one request may make this process hold.
    private const long LargestDrawnReport = 16 << 20;

    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(30);
    // The orchestrator bounds its long poll at a minute.
    private static readonly TimeSpan LongPollLimit = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan TakeOnLimit = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan TakeOnPoll = TimeSpan.FromMilliseconds(50);

    public static void Map(IEndpointRouteBuilder routes)
    {
        var runs = routes.MapGroup("/v1/runs");
        runs.MapPost("/", (HttpRequest request, Caller caller, RunAcceptance acceptance, CancellationToken cancellation) => acceptance.AcceptAsync(request, caller.Tenant, cancellation)).RequireScope(Scopes.RunsWrite)
            .Accepts<RunRequest>(RequestBody.AnyType)
            .Produces<RunResource>(202).Produces<Problem>(400, Problems.MediaType).Produces<Problem>(409, Problems.MediaType).Produces<Problem>(422, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        runs.MapGet("/", ListAsync).RequireScope(Scopes.RunsRead).Produces(200).Produces<Problem>(400, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        runs.MapGet("/{id:guid}", GetAsync).RequireScope(Scopes.RunsRead).Produces<RunResource>().Produces(304).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        runs.MapPost("/{id:guid}/cancel", CancelAsync).RequireScope(Scopes.RunsWrite).Produces<RunResource>(202).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        runs.MapPost("/{id:guid}/resume", ResumeAsync).RequireScope(Scopes.RunsWrite)
            .Produces<RunResource>(202).Produces<Problem>(400, Problems.MediaType).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(409, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        runs.MapGet("/{id:guid}/steps/{step:int}", StepAsync).RequireScope(Scopes.RunsRead).Produces<StepResource>().Produces<Problem>(404, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        runs.MapGet("/{id:guid}/steps/{step:int}/logs", LogsAsync).RequireScope(Scopes.RunsRead).Produces<string>(200, "text/plain").Produces<StepLogPage>().Produces<Problem>(400, Problems.MediaType).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        runs.MapGet("/{id:guid}/steps/{step:int}/report", ReportAsync).RequireScope(Scopes.RunsRead).Produces(200).Produces<Problem>(406, Problems.MediaType).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        runs.MapGet("/{id:guid}/steps/{step:int}/outputs", OutputsAsync).RequireScope(Scopes.RunsRead).Produces<Page<ArtifactRef>>().Produces<Problem>(404, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
    }

    private static Task<IResult> ListAsync(HttpContext http, OrchestratorUpstream orchestrator) =>
        orchestrator.PassAsync(http, "v1/runs" + http.Request.QueryString, AnswerLimit);

    /// <summary>A run. <c>?wait=30s</c> with the <c>ETag</c> of the last answer in <c>If-None-Match</c> answers when it changes; without one, when it has ended.</summary>
    private static async Task<IResult> GetAsync(
        Guid id, HttpContext http, Caller caller, OrchestratorUpstream orchestrator, PipelineApiDbContext database, HandOver handOver, TimeProvider time, CancellationToken cancellation)
    {
        if (await FindRowAsync(database, caller.Tenant, id, cancellation) is not { } row)
            return NoRun(id);
        var takenOn = row.HandedOver || (http.Request.Query.ContainsKey("wait")
            ? await IsTakenOnAsync(orchestrator, handOver, row, time, cancellation)
            : await orchestrator.FindAsync(caller.Tenant, id, cancellation) is not null);
        return takenOn
            ? await orchestrator.PassAsync(http, $"v1/runs/{id}" + http.Request.QueryString, LongPollLimit)
            : Results.Json(RunAcceptance.Show(row.Read()), ContractJson.Options);
    }

    private static async Task<IResult> CancelAsync(
        Guid id, Caller caller, OrchestratorUpstream orchestrator, PipelineApiDbContext database, HandOver handOver, IRequestClient<CancelRun> client, TimeProvider time, CancellationToken cancellation)
    {
        if (await FindRowAsync(database, caller.Tenant, id, cancellation) is not { } row)
            return NoRun(id);
        if (!await IsKnownAsync())
            return Results.Accepted($"/v1/runs/{id}", RunAcceptance.Show(await handOver.CancelAsync(row, cancellation)));
        try
        {
            await client.GetResponse<CancelRunAccepted>(new CancelRun { Tenant = row.Tenant, RunId = id, Reason = "asked for by its owner" }, cancellation);
        }
        catch (RequestException e) when (!cancellation.IsCancellationRequested)
        {
            return orchestrator.Unavailable(e is RequestTimeoutException ? "it does not answer the request to cancel" : "it could not cancel the run");
        }
        return await orchestrator.FindAsync(caller.Tenant, id, cancellation) is { } run
            ? Results.Accepted($"/v1/runs/{id}", run)
            : orchestrator.Unavailable("it does not know the run any more");

        // A broker or an orchestrator that is away holds up no wish to end a run that nobody may have begun.
        async Task<bool> IsKnownAsync()
        {
            try
            {
                return await IsTakenOnAsync(orchestrator, handOver, row, time, cancellation);
            }
            catch (ServiceUnavailableException) when (!row.HandedOver)
            {
                return false;
            }
        }
    }

    /// <summary>
    /// Goes on with a run that failed or was cancelled, from what it has. 409 <c>run-active</c>, <c>run-cancelling</c> or <c>run-succeeded</c> when there is nothing to
    /// resume. A run that was resumed and has not ended since is answered as it is, and so is a repeated request with the same <c>Idempotency-Key</c>, whatever became of the run.
    /// </summary>
    private static async Task<IResult> ResumeAsync(
        Guid id, HttpRequest request, Caller caller, OrchestratorUpstream orchestrator, PipelineApiDbContext database, HandOver handOver, IRequestClient<ResumeRun> client, TimeProvider time, CancellationToken cancellation)
    {
        if (!RunAcceptance.TryReadKey(request, out var key, out var refusal))
            return refusal;
        if (await FindRowAsync(database, caller.Tenant, id, cancellation) is not { } row)
            return NoRun(id);
        if (!await IsTakenOnAsync(orchestrator, handOver, row, time, cancellation))
            return orchestrator.Unavailable("it has not taken the run on yet");
        try
        {
            var answer = await client.GetResponse<ResumeRunAccepted, ResumeRunRefused>(new ResumeRun { Tenant = row.Tenant, RunId = id, Key = key }, cancellation);
            if (answer.Is(out Response<ResumeRunRefused>? refused))
                return Problems.Result(StatusCodes.Status409Conflict, refused.Message.Code, "The run cannot be resumed", refused.Message.Message);
        }
        catch (RequestException e) when (!cancellation.IsCancellationRequested)
        {
            return orchestrator.Unavailable(e is RequestTimeoutException ? "it does not answer the request to resume" : "it could not resume the run");
        }
        return await orchestrator.FindAsync(caller.Tenant, id, cancellation) is { } run
            ? Results.Accepted($"/v1/runs/{id}", run)
            : orchestrator.Unavailable("it does not know the run any more");
    }

    private static Task<IResult> StepAsync(Guid id, int step, HttpContext http, OrchestratorUpstream orchestrator) =>
        orchestrator.PassAsync(http, $"v1/runs/{id}/steps/{step}" + http.Request.QueryString, AnswerLimit);

    /// <summary>
    /// Lines so far, and with <c>?follow=true</c> those to come until the step has ended. As <c>application/json</c> a page of numbered lines: those after <c>?after=</c>, and with
    /// <c>?wait=30s</c> the next ones when there are none yet. <c>?attempt=</c> picks one attempt.
    /// </summary>
    private static async Task<IResult> LogsAsync(
        Guid id, int step, HttpContext http, Caller caller, OrchestratorUpstream orchestrator, PipelineApiDbContext database, HandOver handOver, TimeProvider time, CancellationToken cancellation)
    {
        if (await FindRowAsync(database, caller.Tenant, id, cancellation) is not { } row)
            return NoRun(id);
        if (await IsTakenOnAsync(orchestrator, handOver, row, time, cancellation))
            return await orchestrator.PassAsync(http, $"v1/runs/{id}/steps/{step}/logs" + http.Request.QueryString, LongPollLimit);
        // Who reads page by page asks again; a text would end.
        return AsksForLines(http.Request)
            ? Results.Json(new StepLogPage { Items = [], Position = 0, Ended = false }, ContractJson.Options)
            : orchestrator.Unavailable("it has not taken the run on yet");
    }

    /// <summary>The report as JSON, or, for who would rather have that, as a page.</summary>
    private static async Task<IResult> ReportAsync(Guid id, int step, HttpContext http, Caller caller, OrchestratorUpstream orchestrator, ArtifactStoreUpstream store, CancellationToken cancellation)
    {
        if (await orchestrator.FindStepAsync(caller.Tenant, id, step, cancellation) is not { } found)
            return NoStep(id, step);
        if (found.Report is not { } report)
            return Problems.Result(StatusCodes.Status404NotFound, "no-report", "There is no report", $"Step {step} of run {id} is {found.State}; it has a report once it has succeeded.");
        http.Response.Headers.Vary = "Accept";
        var path = $"v1/artifacts/{report.Digest}";
        if (!PrefersPage(http.Request))
            return await store.PassAsync(http, path, AnswerLimit);
        if (report.Size > LargestDrawnReport)
            return Problems.Result(StatusCodes.Status406NotAcceptable, "report-too-large", "The report is too large for a page", $"The report of step {step} of run {id} has {report.Size} bytes; a page is drawn of at most {LargestDrawnReport}. Ask for application/json.");
        using var json = await store.ReadAsync<JsonDocument>(caller.Tenant, path, cancellation);
        if (json is null)
            return Problems.Result(StatusCodes.Status404NotFound, "no-report", "There is no report", $"The report {report.Digest} is not in the artifact store.");
        http.Response.Headers.ContentSecurityPolicy = ReportPage.ContentSecurityPolicy;
        return Results.Content(ReportPage.Render(ReportHeading.OfStep(found.Uses, id, step, found.Seconds, found.Cached), json.RootElement), "text/html; charset=utf-8");
    }

    private static bool AsksForLines(HttpRequest request) => request.GetTypedHeaders().Accept.Any(a => a.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase));

    private static bool PrefersPage(HttpRequest request)
    {
        double Quality(string type) => request.GetTypedHeaders().Accept.Where(a => a.MediaType.Equals(type, StringComparison.OrdinalIgnoreCase)).Select(a => a.Quality ?? 1).DefaultIfEmpty(0).Max();
        return Quality("text/html") > Quality("application/json");
    }

    private static async Task<IResult> OutputsAsync(Guid id, int step, Caller caller, OrchestratorUpstream orchestrator, CancellationToken cancellation) =>
        await orchestrator.FindStepAsync(caller.Tenant, id, step, cancellation) is { } found
            ? Results.Json(new Page<ArtifactRef> { Items = found.Outputs }, ContractJson.Options)
            : NoStep(id, step);

    private static Task<AcceptedRunRow?> FindRowAsync(PipelineApiDbContext database, string tenant, Guid id, CancellationToken cancellation) =>
        database.AcceptedRuns.AsNoTracking().SingleOrDefaultAsync(r => r.RunId == id && r.Tenant == tenant, cancellation);

    // A run is taken on within milliseconds of its acceptance, so a moment's patience is all it needs.
    private static async Task<bool> IsTakenOnAsync(OrchestratorUpstream orchestrator, HandOver handOver, AcceptedRunRow row, TimeProvider time, CancellationToken cancellation)
    {
        if (row.HandedOver || await orchestrator.FindAsync(row.Tenant, row.RunId, cancellation) is not null)
            return true;
        await handOver.SendAgainAsync(row, cancellation);
        for (var start = time.GetTimestamp(); time.GetElapsedTime(start) < TakeOnLimit; await Task.Delay(TakeOnPoll, time, cancellation))
        {
            if (await orchestrator.FindAsync(row.Tenant, row.RunId, cancellation) is not null)
                return true;
        }
        return false;
    }

    private static IResult NoRun(Guid id) => Problems.Result(StatusCodes.Status404NotFound, "run-not-found", "There is no such run", $"There is no run {id}.");

    private static IResult NoStep(Guid id, int step) => Problems.Result(StatusCodes.Status404NotFound, "step-not-found", "There is no such step", $"There is no step {step} of a run {id}.");
}
