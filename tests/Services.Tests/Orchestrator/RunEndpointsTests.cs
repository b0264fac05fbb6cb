using System.Net;
using System.Net.Http.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class RunEndpointsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Lists_a_tenants_runs_newest_first_page_by_page()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var start = host.Time.GetUtcNow();
        // Two of each moment: the id decides between them.
        var runs = Enumerable.Range(0, 10).Select(i => Runs.Of("compiler/fuse") with { AcceptedAt = start - TimeSpan.FromMinutes(i / 2) }).ToList();
        foreach (var run in runs)
            await host.SubmitAsync(run);
        await host.SubmitAsync(Runs.Of("compiler/fuse") with { Tenant = "another" });

        var seen = new List<Guid>();
        string? token = null;
        var pages = 0;
        do
        {
            var page = await host.Http.GetFromJsonAsync<RunPage>($"v1/runs?page_size=3{(token is null ? "" : $"&page_token={token}")}", ContractJson.Options, Cancellation);
            seen.AddRange(page!.Runs.Select(r => r.Id));
            token = page.NextPageToken;
            pages++;
        }
        while (token is not null);

        Assert.Equal((4, 10), (pages, seen.Distinct().Count()));
        Assert.Equal(runs.Select(r => r.RunId).Order(), seen.Order());
        Assert.Equal(runs.OrderByDescending(r => r.AcceptedAt).Select(r => r.AcceptedAt), seen.Select(id => runs.Single(r => r.RunId == id).AcceptedAt));
    }

    [Fact]
    public async Task Filters_by_state()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var (kept, cancelled) = (Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse"));
        await host.SubmitAsync(kept);
        await host.SubmitAsync(cancelled);
        await host.CancelAsync(cancelled.RunId);

        Assert.Equal([cancelled.RunId], (await host.Http.GetFromJsonAsync<RunPage>("v1/runs?state=cancelled", ContractJson.Options, Cancellation))!.Runs.Select(r => r.Id));
        Assert.Equal([kept.RunId], (await host.Http.GetFromJsonAsync<RunPage>("v1/runs?state=accepted", ContractJson.Options, Cancellation))!.Runs.Select(r => r.Id));
    }

    [Fact]
    public async Task Refuses_a_wrong_list_request_with_every_violation()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        using var response = await host.Http.GetAsync("v1/runs?state=walking&page_size=1000&page_token=%21", Cancellation);
        var problem = await response.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Cancellation);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal(["unknown-state", "out-of-range", "bad-page-token"], problem!.Errors.Select(e => e.Code));
    }

    [Fact]
    public async Task Tells_the_states_of_many_runs_and_of_none_that_is_anothers()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var (kept, cancelled, other) = (Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse") with { Tenant = "another" });
        foreach (var run in new[] { kept, cancelled, other })
            await host.SubmitAsync(run);
        await host.CancelAsync(cancelled.RunId);

        var states = await host.Http.GetFromJsonAsync<Dictionary<Guid, string>>($"v1/run-states?run={kept.RunId:N}&run={cancelled.RunId}&run={other.RunId}&run={Guid.NewGuid()}", ContractJson.Options, Cancellation);

        Assert.Equal(new Dictionary<Guid, string> { [kept.RunId] = RunStates.Accepted, [cancelled.RunId] = RunStates.Cancelled }, states);
    }

    [Fact]
    public async Task Refuses_to_tell_the_states_of_more_runs_than_a_page_has()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);

        using var response = await host.Http.GetAsync($"v1/run-states?{string.Join('&', Enumerable.Range(0, 101).Select(_ => $"run={Guid.NewGuid():N}"))}", Cancellation);

        var problem = await response.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Cancellation);
        Assert.Equal((HttpStatusCode.BadRequest, "invalid-request"), (response.StatusCode, problem!.Code));
        Assert.Contains("101 runs", problem.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Shows_nothing_of_another_tenant_and_nothing_without_one()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var run = Runs.Of("compiler/fuse") with { Tenant = "another" };
        await host.SubmitAsync(run);
        foreach (var route in new[] { "", "/steps/1", "/steps/1/logs", "/steps/1/report", "/events" })
        {
            using var hidden = await host.Http.GetAsync($"v1/runs/{run.RunId}{route}", Cancellation);
            Assert.Equal((HttpStatusCode.NotFound, Problems.MediaType), (hidden.StatusCode, hidden.Content.Headers.ContentType!.MediaType));
            Assert.Equal("no-such-run", (await hidden.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Cancellation))!.Code);
            using var nameless = new HttpRequestMessage(HttpMethod.Get, $"v1/runs/{run.RunId}{route}");
            host.Http.DefaultRequestHeaders.Remove(ServiceHeaders.Tenant);
            using var refused = await host.Http.SendAsync(nameless, Cancellation);
            host.Http.DefaultRequestHeaders.Add(ServiceHeaders.Tenant, Tenants.Default);
            Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        }
    }

    [Fact]
    public async Task Waits_for_the_end_of_a_run()
    {
        await using var host = await StartWithWorkerAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        var waiting = host.Http.GetAsync($"v1/runs/{run.RunId}?wait=30s", Cancellation);
        await host.ClaimAsync(offer);
        await host.BeatAsync(offer);
        Assert.False(waiting.IsCompleted);
        await host.CompleteAsync(offer);

        using var response = await waiting.WaitAsync(OrchestratorHost.Limit, Cancellation);
        var ended = await response.Content.ReadFromJsonAsync<RunResource>(ContractJson.Options, Cancellation);
        Assert.Equal(RunStates.Succeeded, ended!.State);
        Assert.Equal($"\"{(await host.ReadAsync(run.RunId)).Version}\"", response.Headers.ETag!.Tag);
    }

    [Fact]
    public async Task A_run_whose_end_was_asked_for_has_changed()
    {
        await using var host = await StartWithWorkerAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        await host.ClaimAsync(await host.OfferAsync());
        using var before = await host.Http.GetAsync($"v1/runs/{run.RunId}", Cancellation);
        await host.CancelAsync(run.RunId);

        using var request = new HttpRequestMessage(HttpMethod.Get, $"v1/runs/{run.RunId}");
        request.Headers.IfNoneMatch.Add(before.Headers.ETag!);
        using var after = await host.Http.SendAsync(request, Cancellation);

        Assert.Equal(HttpStatusCode.OK, after.StatusCode);
        Assert.Equal(RunStates.Cancelling, (await after.Content.ReadFromJsonAsync<RunResource>(ContractJson.Options, Cancellation))!.State);
    }

    [Fact]
    public async Task Waits_for_the_next_change_of_a_known_version_and_says_so_when_there_is_none()
    {
        await using var host = await StartWithWorkerAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        using var now = await host.Http.GetAsync($"v1/runs/{run.RunId}", Cancellation);
        var tag = now.Headers.ETag!;

        using var unchanged = await GetAsync($"v1/runs/{run.RunId}", tag.Tag);
        Assert.Equal(HttpStatusCode.NotModified, unchanged.StatusCode);
        var waiting = GetAsync($"v1/runs/{run.RunId}?wait=30s", tag.Tag);
        await host.ClaimAsync(offer);
        using var changed = await waiting.WaitAsync(OrchestratorHost.Limit, Cancellation);
        Assert.Equal(RunStates.Running, (await changed.Content.ReadFromJsonAsync<RunResource>(ContractJson.Options, Cancellation))!.State);
        Assert.NotEqual(tag, changed.Headers.ETag);

        var patient = GetAsync($"v1/runs/{run.RunId}?wait=5s", changed.Headers.ETag!.Tag);
        while (!patient.IsCompleted)
        {
            host.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(patient, Task.Delay(20, Cancellation));
        }
        using var timedOut = await patient;
        Assert.Equal(HttpStatusCode.NotModified, timedOut.StatusCode);

        async Task<HttpResponseMessage> GetAsync(string route, string known)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, route);
            request.Headers.TryAddWithoutValidation("If-None-Match", known);
            return await host.Http.SendAsync(request, Cancellation);
        }
    }

    [Theory]
    [InlineData("wait=soon")]
    [InlineData("wait=61s")]
    [InlineData("wait=-1s")]
    public async Task Refuses_a_wait_that_is_none(string query)
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        using var response = await host.Http.GetAsync($"v1/runs/{Guid.NewGuid()}?{query}", Cancellation);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
    }

    [Fact]
    public async Task Follows_a_log_until_the_step_has_ended()
    {
        await using var host = await StartWithWorkerAsync();
        var run = Runs.Of("compiler/fuse", "compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.BeatAsync(offer, log: ["one", "two"]);
        using var stream = new StreamReader(await host.Http.GetStreamAsync($"v1/runs/{run.RunId}/steps/1/logs?follow=true&after=1", Cancellation));
        Assert.Equal("two", await stream.ReadLineAsync(Cancellation));
        await host.BeatAsync(offer, log: ["three"]);
        Assert.Equal("three", await stream.ReadLineAsync(Cancellation));
        await host.CompleteAsync(offer);
        Assert.Null(await stream.ReadLineAsync(Cancellation));
        var next = await host.OfferAsync();
        await host.ClaimAsync(next);
        await host.BeatAsync(next, log: ["of the next step"]);
        Assert.Equal("one\ntwo\nthree\n", await host.Http.GetStringAsync($"v1/runs/{run.RunId}/steps/1/logs", Cancellation));
    }

    [Fact]
    public async Task Shows_a_step_its_report_and_the_events()
    {
        await using var host = await StartWithWorkerAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        using var early = await host.Http.GetAsync($"v1/runs/{run.RunId}/steps/1/report", Cancellation);
        Assert.Equal(HttpStatusCode.NotFound, early.StatusCode);
        await host.ClaimAsync(offer);
        host.Time.Advance(TimeSpan.FromSeconds(2.5));
        await host.CompleteAsync(offer);

        var step = await host.Http.GetFromJsonAsync<StepResource>($"v1/runs/{run.RunId}/steps/1", ContractJson.Options, Cancellation);
        Assert.Equal((StepStates.Succeeded, 2.5, 1), (step!.State, step.Seconds, step.Attempts.Single().Attempt));
        Assert.Equal(step.Report, await host.Http.GetFromJsonAsync<ArtifactRef>($"v1/runs/{run.RunId}/steps/1/report", ContractJson.Options, Cancellation));
        var events = await host.Http.GetFromJsonAsync<List<RunEventEntry>>($"v1/runs/{run.RunId}/events?after=3", ContractJson.Options, Cancellation);
        Assert.Equal([(4L, "io.tinymlaas.step.started.v1"), (5L, "io.tinymlaas.step.succeeded.v1"), (6L, "io.tinymlaas.artifact.stored.v1"), (7L, "io.tinymlaas.run.succeeded.v1")], events!.Select(e => (e.Sequence, e.Type)));
        Assert.Equal("compiler-1", events![0].Data.GetProperty("worker").GetString());
        using var none = await host.Http.GetAsync($"v1/runs/{run.RunId}/steps/2", Cancellation);
        Assert.Equal(HttpStatusCode.NotFound, none.StatusCode);
    }

    [Fact]
    public async Task Is_ready_with_its_database_and_not_without_the_migrations()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        // Its loops have to go round once.
        await OrchestratorHost.UntilAsync(async () => (await host.Http.GetAsync("health/ready", Cancellation)).StatusCode == HttpStatusCode.OK);

        // As after a restore of an older backup below a process that runs.
        await using (var scope = host.Services.CreateAsyncScope())
            await scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().Database.ExecuteSqlRawAsync("DELETE FROM __EFMigrationsHistory", Cancellation);
        using var response = await host.Http.GetAsync("health/ready", Cancellation);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        var missing = (await response.Content.ReadFromJsonAsync<Readiness>(ContractJson.Options, Cancellation))!.Missing.Single();
        Assert.Equal("orchestrator-database", missing.Service);
        Assert.StartsWith("migrations are not applied", missing.Reason, StringComparison.Ordinal);
    }

    private async Task<OrchestratorHost> StartWithWorkerAsync()
    {
        var host = await OrchestratorHost.StartAsync(_folder.Path);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        return host;
    }
}
