using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator.Events;

public sealed class EventEndpointsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task An_event_is_a_CloudEvent_with_the_contract_record_as_its_data()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var run = await RunAsync(host);

        var page = JsonNode.Parse(await host.Http.GetStringAsync("v1/events", Cancellation))!;

        var events = page["items"]!.AsArray();
        Assert.Equal((7, 7), (events.Count, (int)page["position"]!));
        var succeeded = Assert.Single(events, e => (string?)e!["type"] == "io.tinymlaas.step.succeeded.v1")!.AsObject();
        Assert.Equal(
            ["data", "datacontenttype", "id", "position", "sequence", "source", "specversion", "subject", "time", "type"],
            succeeded.Select(p => p.Key).Order(StringComparer.Ordinal));
        Assert.Equal(("1.0", "application/json", "urn:tinymlaas:tenant:default"), ((string?)succeeded["specversion"], (string?)succeeded["datacontenttype"], (string?)succeeded["source"]));
        Assert.Equal(($"{run}:5", "0000000005", "5"), ((string?)succeeded["id"], (string?)succeeded["sequence"], (string?)succeeded["position"]));
        Assert.Equal($"runs/{run}/steps/1", (string?)succeeded["subject"]);
        Assert.Equal(host.Time.GetUtcNow(), (DateTimeOffset)succeeded["time"]!);
        Assert.Equal($"runs/{run}", (string?)events[0]!["subject"]);
        var output = (await host.ReadAsync(run)).Steps[0].Outputs[0].Digest;
        Assert.Equal(("io.tinymlaas.artifact.stored.v1", $"artifacts/{output}"), ((string?)events[5]!["type"], (string?)events[5]!["subject"]));
        var stored = (await host.ReadAsync(run)).Events.Single(e => e.Sequence == 5);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(stored.Data), succeeded["data"]), $"{stored.Data} became {succeeded["data"]}");
    }

    [Fact]
    public async Task Pages_follow_each_other_by_position_and_by_link()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await RunAsync(host);
        await RunAsync(host);

        var (seen, address, positions) = (new List<string>(), "v1/events?page_size=5", new List<long>());
        for (var i = 0; i < 4; i++)
        {
            using var answer = await host.Http.GetAsync(address, Cancellation);
            var page = (await answer.Content.ReadFromJsonAsync<EventPage>(ContractJson.Options, Cancellation))!;
            seen.AddRange(page.Items.Select(e => e.Position));
            positions.Add(page.Position);
            var link = Assert.Single(answer.Headers.GetValues("Link"));
            Assert.Equal($"</v1/events?page_size=5&after={page.Position}>; rel=\"next\"", link);
            address = link[2..link.IndexOf('>', StringComparison.Ordinal)];
        }

        Assert.Equal(Enumerable.Range(1, 14).Select(i => $"{i}"), seen);
        Assert.Equal([5, 10, 14, 14], positions);
    }

    [Fact]
    public async Task A_long_poll_is_answered_by_the_next_event()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await RunAsync(host);

        var waiting = host.Http.GetFromJsonAsync<EventPage>("v1/events?after=7&wait=30s", ContractJson.Options, Cancellation);
        await Task.Delay(100, Cancellation);
        Assert.False(waiting.IsCompleted);
        var run = Runs.Of("installer/bundle");
        await host.SubmitAsync(run);

        Assert.Equal(($"{run.RunId}:1", 8), (Assert.Single((await waiting)!.Items).Id, (await waiting)!.Position));
    }

    [Fact]
    public async Task A_long_poll_without_news_ends_after_its_wait()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await RunAsync(host);

        var waiting = host.Http.GetFromJsonAsync<EventPage>("v1/events?after=7&wait=30s", ContractJson.Options, Cancellation);
        await Task.Delay(100, Cancellation);
        Assert.False(waiting.IsCompleted);
        await OrchestratorHost.UntilAsync(() =>
        {
            host.Time.Advance(TimeSpan.FromSeconds(10));
            return Task.FromResult(waiting.IsCompleted);
        });

        Assert.Equal((0, 7), ((await waiting)!.Items.Count, (await waiting)!.Position));
    }

    [Fact]
    public async Task Filters_by_run_and_by_type_and_moves_on_past_the_rest()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var first = await RunAsync(host);
        await RunAsync(host);

        async Task<EventPage> Get(string query) => (await host.Http.GetFromJsonAsync<EventPage>($"v1/events?{query}", ContractJson.Options, Cancellation))!;

        var one = await Get($"run={first}");
        Assert.Equal((7, 14), (one.Items.Count, one.Position));
        Assert.All(one.Items, e => Assert.Equal($"{first}", e.Data.GetProperty("runId").GetString()));
        var some = await Get("type=io.tinymlaas.run.succeeded.v1&type=step.offered");
        Assert.Equal(["step.offered", "run.succeeded", "step.offered", "run.succeeded"], some.Items.Select(e => EventTypes.Find(e.Type)));
        Assert.Equal(["run.accepted"], (await Get($"run={first}&type=run.accepted&after=0")).Items.Select(e => EventTypes.Find(e.Type)));
        var none = await Get($"run={Guid.NewGuid()}");
        Assert.Equal((0, 14), (none.Items.Count, none.Position));
    }

    [Fact]
    public async Task Nobody_gets_events_of_another_tenant()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var (ours, theirs) = (Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse") with { Tenant = "another" });
        await host.SubmitAsync(theirs);
        await host.SubmitAsync(ours);
        await PositionedAsync(host, 2);

        var page = await host.Http.GetFromJsonAsync<EventPage>("v1/events", ContractJson.Options, Cancellation);
        Assert.Equal([$"{ours.RunId}:1"], page!.Items.Select(e => e.Id));
        Assert.Empty((await host.Http.GetFromJsonAsync<EventPage>($"v1/events?run={theirs.RunId}", ContractJson.Options, Cancellation))!.Items);
        await using var stream = await EventStream.OpenAsync(host.Http, "v1/events");
        Assert.Equal([$"{ours.RunId}:1"], (await stream.ReadAsync(1)).Select(e => e.Id));
        host.Http.DefaultRequestHeaders.Remove(ServiceHeaders.Tenant);
        using var nobody = await host.Http.GetAsync("v1/events", Cancellation);
        Assert.Equal("missing-tenant", (await ProblemAsync(nobody, HttpStatusCode.BadRequest)).Code);
    }

    [Theory]
    [InlineData("after=-1", null, "after", "bad-position")]
    [InlineData("after=1&after=2", null, "after", "bad-position")]
    [InlineData("after=99999999999999999999", null, "after", "bad-position")]
    [InlineData("after=", null, "after", "bad-position")]
    [InlineData("after=8", null, "after", "unknown-position")]
    [InlineData("after=0", "8", "Last-Event-ID", "unknown-position")]
    [InlineData("after=0", "x", "Last-Event-ID", "bad-position")]
    [InlineData("page_size=0", null, "page_size", "out-of-range")]
    [InlineData("page_size=501", null, "page_size", "out-of-range")]
    [InlineData("page_size=many", null, "page_size", "out-of-range")]
    [InlineData("wait=61s", null, "wait", "out-of-range")]
    [InlineData("wait=-1", null, "wait", "out-of-range")]
    [InlineData("run=1", null, "run", "bad-run")]
    [InlineData("type=run.exploded", null, "type", "unknown-type")]
    [InlineData("type=io.tinymlaas..v1", null, "type", "unknown-type")]
    [InlineData("from=1", null, "from", "unknown-parameter")]
    public async Task A_wrong_request_is_told_what_is_wrong(string query, string? lastEventId, string field, string code)
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await RunAsync(host);
        foreach (var accept in (string[])["application/json", "text/event-stream"])
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"v1/events?{query}");
            request.Headers.Add("Accept", accept);
            if (lastEventId is not null)
                request.Headers.Add("Last-Event-ID", lastEventId);
            using var answer = await host.Http.SendAsync(request, Cancellation);

            var problem = await ProblemAsync(answer, HttpStatusCode.BadRequest);
            Assert.Equal((field, code), (Assert.Single(problem.Errors).Field, problem.Errors[0].Code));
        }
    }

    [Fact]
    public async Task Everything_that_is_wrong_is_said_at_once()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        using var answer = await host.Http.GetAsync("v1/events?after=1&page_size=0&wait=x&run=y&type=z", Cancellation);

        Assert.Equal(["after", "page_size", "run", "type", "wait"], (await ProblemAsync(answer, HttpStatusCode.BadRequest)).Errors.Select(e => e.Field).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_stream_resumes_where_the_last_one_was_cut()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var first = await RunAsync(host);
        string last;
        await using (var stream = await EventStream.OpenAsync(host.Http, "v1/events"))
        {
            Assert.Equal(Enumerable.Range(1, 4).Select(i => $"{first}:{i}"), (await stream.ReadAsync(4)).Select(e => e.Id));
            last = stream.LastId!;
        }
        Assert.Equal("4", last);
        var second = await RunAsync(host);

        // The address is that of the first time; the header wins.
        await using var again = await EventStream.OpenAsync(host.Http, "v1/events?after=0", last);
        Assert.Equal(
            Enumerable.Range(5, 3).Select(i => $"{first}:{i}").Concat(Enumerable.Range(1, 7).Select(i => $"{second}:{i}")), (await again.ReadAsync(10)).Select(e => e.Id));
        // What happens while it is open comes too.
        var third = await RunAsync(host);
        Assert.Equal(Enumerable.Range(1, 7).Select(i => $"{third}:{i}"), (await again.ReadAsync(7)).Select(e => e.Id));
    }

    [Fact]
    public async Task A_stream_may_begin_with_what_comes_next()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await RunAsync(host);
        await using var stream = await EventStream.OpenAsync(host.Http, "v1/events?after=newest&type=run.accepted");

        var run = await RunAsync(host);

        Assert.Equal([$"{run}:1"], (await stream.ReadAsync(1)).Select(e => e.Id));
    }

    [Fact]
    public async Task A_silent_stream_says_every_15_seconds_that_it_lives_and_how_far_it_has_come()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await RunAsync(host);
        await using var stream = await EventStream.OpenAsync(host.Http, $"v1/events?run={Guid.NewGuid()}");
        Assert.Equal(": this stream resumes by Last-Event-ID", await stream.LineAsync());
        Assert.Equal("", await stream.LineAsync());

        var line = stream.LineAsync();
        await Task.Delay(100, Cancellation);
        host.Time.Advance(TimeSpan.FromSeconds(14));
        await Task.Delay(100, Cancellation);
        Assert.False(line.IsCompleted);
        host.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(": nothing new", await line);
        // Seven events were not for this stream.
        Assert.Equal("id: 7", await stream.LineAsync());
        Assert.Equal("", await stream.LineAsync());

        line = stream.LineAsync();
        await Task.Delay(100, Cancellation);
        host.Time.Advance(TimeSpan.FromSeconds(16));
        Assert.Equal(": nothing new", await line);
        Assert.Equal("", await stream.LineAsync());
    }

    [Fact]
    public async Task Who_finds_no_seat_is_told_when_to_come_back()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path, s => s["Orchestrator:MaxEventReaders"] = "2");
        await RunAsync(host);
        await using var first = await EventStream.OpenAsync(host.Http, "v1/events");
        await using (var second = await EventStream.OpenAsync(host.Http, "v1/events"))
        {
            foreach (var (accept, query) in ((string, string)[])[("text/event-stream", ""), ("application/json", "?wait=1s")])
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, $"v1/events{query}") { Headers = { { "Accept", accept } } };
                using var answer = await host.Http.SendAsync(request, Cancellation);
                Assert.Equal("too-many-readers", (await ProblemAsync(answer, HttpStatusCode.ServiceUnavailable)).Code);
                Assert.Equal(TimeSpan.FromSeconds(5), answer.Headers.RetryAfter?.Delta);
            }
            // Who does not wait needs no seat.
            Assert.Equal(7, (await host.Http.GetFromJsonAsync<EventPage>("v1/events", ContractJson.Options, Cancellation))!.Items.Count);
        }

        // The seat of who left is free.
        await OrchestratorHost.UntilAsync(async () =>
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "v1/events") { Headers = { { "Accept", "text/event-stream" } } };
            using var answer = await host.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation);
            return answer.IsSuccessStatusCode;
        });
    }

    [Fact]
    public async Task Who_waits_does_not_keep_the_process_from_ending()
    {
        var host = await OrchestratorHost.StartAsync(_folder.Path);
        await RunAsync(host);
        await using var stream = await EventStream.OpenAsync(host.Http, "v1/events");
        await stream.ReadAsync(7);
        var poll = host.Http.GetAsync("v1/events?after=7&wait=60s", Cancellation);
        await Task.Delay(100, Cancellation);

        await host.StopAsync().WaitAsync(TimeSpan.FromSeconds(20), Cancellation);

        using (var answer = await poll)
            Assert.Empty((await answer.Content.ReadFromJsonAsync<EventPage>(ContractJson.Options, Cancellation))!.Items);
        // The blank line after the last event, then the end.
        Assert.Equal(["", null], [await stream.LineAsync(), await stream.LineAsync()]);
        await host.DisposeAsync();
    }

    /// <summary>A run of one step to its end: seven events.</summary>
    private static async Task<Guid> RunAsync(OrchestratorHost host)
    {
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer));
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(offer));
        await OrchestratorHost.UntilAsync(async () => (await host.ReadAsync(run.RunId)).Events.All(e => e.Position is not null));
        return run.RunId;
    }

    private static Task PositionedAsync(OrchestratorHost host, int count) => OrchestratorHost.UntilAsync(async () =>
        (await host.Http.GetFromJsonAsync<EventPage>("v1/events", ContractJson.Options, Cancellation))!.Position >= count);

    private static async Task<Problem> ProblemAsync(HttpResponseMessage answer, HttpStatusCode status)
    {
        Assert.Equal((status, "application/problem+json"), (answer.StatusCode, answer.Content.Headers.ContentType?.MediaType));
        return (await answer.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Cancellation))!;
    }
}
