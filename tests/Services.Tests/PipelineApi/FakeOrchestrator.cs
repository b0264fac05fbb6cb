using System.Collections.Concurrent;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Services.Tests.PipelineApi;

/// <summary>Stands where the orchestrator does: takes runs on when it is told to, and shows what it was sent.</summary>
internal sealed class FakeOrchestrator : ServiceModule
{
    private readonly ConcurrentDictionary<Guid, RunResource> _runs = new();

    public override string Name => "orchestrator";

    /// <summary>False: messages arrive and are forgotten, as if this process had died over them.</summary>
    public bool TakesOn { get; set; } = true;

    public ConcurrentQueue<SubmitRun> Submitted { get; } = new();

    public ConcurrentQueue<CancelRun> Cancelled { get; } = new();

    public ConcurrentQueue<ResumeRun> Resumed { get; } = new();

    /// <summary>What it answers to requests to resume; null: it resumes.</summary>
    public ResumeRunRefused? RefusesToResume { get; set; }

    public ConcurrentQueue<string?> Tenants { get; } = new();

    /// <summary>Completes when a client has left the stream of events.</summary>
    public TaskCompletionSource Left { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The report that step 1 of every run has.</summary>
    public ArtifactRef? Report { get; set; }

    /// <summary>Changes the services of the process.</summary>
    public Action<IHostApplicationBuilder>? Configure { get; init; }

    public override void AddServices(IHostApplicationBuilder builder) => Configure?.Invoke(builder);

    public override void ConfigureBus(IBusRegistrationContext context, IBusFactoryConfigurator bus) => bus.ReceiveEndpoint("v1.orchestrator.runs", endpoint =>
    {
        endpoint.Handler<SubmitRun>(message =>
        {
            Submitted.Enqueue(message.Message);
            if (TakesOn && !_runs.TryAdd(message.Message.RunId, Show(message.Message)) && message.Message.Cancelled)
                _runs[message.Message.RunId] = Show(message.Message);
            return Task.CompletedTask;
        });
        endpoint.Handler<CancelRun>(message =>
        {
            Cancelled.Enqueue(message.Message);
            _runs[message.Message.RunId] = _runs[message.Message.RunId] with { State = RunStates.Cancelling };
            return message.RespondAsync(new CancelRunAccepted { RunId = message.Message.RunId, State = RunStates.Cancelling });
        });
        endpoint.Handler<ResumeRun>(message =>
        {
            Resumed.Enqueue(message.Message);
            return RefusesToResume is { } refused
                ? message.RespondAsync(refused)
                : message.RespondAsync(new ResumeRunAccepted { RunId = message.Message.RunId, State = RunStates.Running });
        });
    });

    public override void MapEndpoints(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/runs", (HttpRequest request) => Results.Json(new { runs = _runs.Values, query = request.QueryString.Value }, ContractJson.Options));
        routes.MapGet("/v1/run-states", (Guid[] run, HttpRequest request) => Results.Json(
            run.Where(id => _runs.TryGetValue(id, out var known) && known.Tenant == request.Headers[ServiceHeaders.Tenant]).ToDictionary(id => id, id => _runs[id].State), ContractJson.Options));
        routes.MapGet("/v1/runs/{id:guid}", (Guid id, HttpContext http) =>
        {
            Tenants.Enqueue(http.Request.Headers["Tiny-Tenant"]);
            if (!_runs.TryGetValue(id, out var run))
                return NotFound("no-such-run");
            http.Response.Headers.ETag = $"\"{run.Sequence}\"";
            return http.Request.Headers.IfNoneMatch == $"\"{run.Sequence}\"" ? Results.StatusCode(304) : Results.Json(run, ContractJson.Options);
        });
        routes.MapGet("/v1/runs/{id:guid}/steps/{step:int}", (Guid id, int step) =>
            _runs.TryGetValue(id, out var run) && step <= run.Steps.Count
                ? Results.Json(run.Steps[step - 1] with { Report = step == 1 ? Report : null, Outputs = Report is null ? [] : [Report] }, ContractJson.Options)
                : NotFound("no-such-step"));
        routes.MapGet("/v1/events", (HttpContext http) => Results.Stream(
            async body =>
            {
                // One event, and then silence for as long as the client stays.
                var text = $"id: 8\ndata: {http.Request.Headers[ServiceHeaders.Tenant]} {http.Request.QueryString} {http.Request.Headers["Last-Event-ID"]} {http.Request.Headers.Accept}\n\n";
                await body.WriteAsync(System.Text.Encoding.UTF8.GetBytes(text), http.RequestAborted);
                await body.FlushAsync(http.RequestAborted);
                await Task.Delay(Timeout.Infinite, http.RequestAborted).ContinueWith(_ => Left.TrySetResult(), TaskScheduler.Default);
            },
            "text/event-stream"));
        routes.MapGet("/v1/runs/{id:guid}/steps/{step:int}/logs", (bool? follow) => Results.Text($"follow={follow}\n"));
    }

    private static RunResource Show(SubmitRun run) => new()
    {
        Id = run.RunId,
        Tenant = run.Tenant,
        State = run.Cancelled ? RunStates.Cancelled : RunStates.Running,
        ModelName = run.ModelName,
        Model = run.Model,
        Pipeline = run.Pipeline,
        Steps = [.. run.Pipeline.Steps.Select((s, i) => new StepResource { Step = i + 1, Uses = s.Uses, State = StepStates.Pending })],
        Sequence = 7,
        AcceptedAt = run.AcceptedAt,
    };

    private static IResult NotFound(string code) => Problems.Result(404, code, "There is nothing");
}
