using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>The log of a step: each line once, in order, attempt by attempt.</summary>
public sealed class StepLogTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Lines_that_are_told_again_are_kept_once()
    {
        await using var host = await StartAsync();
        var offer = await RunningAsync(host);

        await TellAsync(host, offer, 0, "one", "two");
        // The answer was lost, and more was written meanwhile.
        await TellAsync(host, offer, 0, "one", "two", "three");
        await TellAsync(host, offer, 3, "four");
        await TellAsync(host, offer, 2, "three", "four");
        await host.RequestAsync<FailAttempt, AttemptCommitted>(new FailAttempt
        {
            Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = "compiler-1",
            Failure = new Failure { Code = "broken", Message = "as the test wants it", Retryable = false }, Log = ["four", "five"], LogFrom = 3,
        });

        Assert.Equal(["one", "two", "three", "four", "five"], (await PageAsync(host, offer.RunId, "")).Items.Select(i => i.Text));
    }

    [Fact]
    public async Task The_lines_of_each_attempt_follow_those_of_the_one_before_also_when_that_was_lost()
    {
        await using var host = await StartAsync();
        var first = await RunningAsync(host);
        await TellAsync(host, first, 0, "of the first");
        host.Time.Advance(TimeSpan.FromSeconds(61));
        await host.SweepAsync();
        await host.UntilAsync(first.RunId, r => r.Step(1)!.Attempts[0].State == AttemptStates.Lost);
        // Its worker goes on until it hears that.
        Assert.Equal(HeartbeatVerdicts.Lost, await TellAsync(host, first, 1, "its last words"));
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        var second = await host.OfferAsync();
        await host.ClaimAsync(second);
        await TellAsync(host, second, 0, "of the second");
        Assert.Equal(HeartbeatVerdicts.Lost, await TellAsync(host, first, 2, "too late: another has begun"));
        Assert.Equal(HeartbeatVerdicts.Lost, await TellAsAsync(host, second, 1, "somebody-else", "not its attempt"));

        var page = await PageAsync(host, first.RunId, "");
        Assert.Equal([(1, 1, "of the first"), (2, 1, "its last words"), (3, 2, "of the second")], page.Items.Select(i => (i.Number, i.Attempt!.Value, i.Text)));
        Assert.Equal(["of the second"], (await PageAsync(host, first.RunId, "?attempt=2")).Items.Select(i => i.Text));
        Assert.Equal("of the first\nits last words\n", await host.Http.GetStringAsync($"v1/runs/{first.RunId}/steps/1/logs?attempt=1", Cancellation));
    }

    [Fact]
    public async Task What_a_worker_wrote_until_it_heard_of_the_end_is_kept()
    {
        await using var host = await StartAsync(options => options["Orchestrator:MaxAttempts"] = "1");
        var offer = await RunningAsync(host);
        await TellAsync(host, offer, 0, "before");
        host.Time.Advance(TimeSpan.FromSeconds(61));
        await host.SweepAsync();
        await host.UntilAsync(offer.RunId, r => r.IsTerminal);

        Assert.Equal(HeartbeatVerdicts.Lost, await TellAsync(host, offer, 1, "after"));

        var page = await PageAsync(host, offer.RunId, "?wait=60s");
        Assert.Equal((true, "before after"), (page.Ended, string.Join(' ', page.Items.Select(i => i.Text))));
    }

    [Fact]
    public async Task A_log_is_read_page_by_page_and_the_next_line_is_waited_for()
    {
        await using var host = await StartAsync();
        var offer = await RunningAsync(host);
        await TellAsync(host, offer, 0, "one", "two", "three");

        var first = await PageAsync(host, offer.RunId, "?page_size=2");
        Assert.Equal((2, false, "one two"), (first.Position, first.Ended, string.Join(' ', first.Items.Select(i => i.Text))));
        var second = await PageAsync(host, offer.RunId, $"?page_size=2&after={first.Position}&wait=60s");
        Assert.Equal((3, false, "three"), (second.Position, second.Ended, second.Items.Single().Text));
        Assert.Equal((3, 0), ((await PageAsync(host, offer.RunId, "?after=3")).Position, (await PageAsync(host, offer.RunId, "?after=3")).Items.Count));

        var next = PageAsync(host, offer.RunId, "?after=3&wait=60s");
        await TellAsync(host, offer, 3, "four");
        Assert.Equal((4, "four"), ((await next).Position, (await next).Items.Single().Text));

        var end = PageAsync(host, offer.RunId, "?after=4&wait=60s");
        await host.CompleteAsync(offer);
        Assert.True((await end).Ended);
        Assert.False((await PageAsync(host, offer.RunId, "?page_size=1")).Ended, "There is more to read.");
    }

    [Fact]
    public async Task Beyond_what_a_tenant_may_keep_the_logs_of_the_runs_that_ended_first_go_and_say_so()
    {
        await using var host = await StartAsync(options => options["Orchestrator:LogMiB"] = "1");
        var line = new string('x', 1999);
        var runs = new List<Guid>();
        // The last one goes on.
        for (var i = 0; i < 6; i++)
        {
            var offer = await RunningAsync(host);
            runs.Add(offer.RunId);
            for (var from = 0; from < 120; from += 40)
                await TellAsync(host, offer, from, [.. Enumerable.Repeat(line, 40)]);
            if (i < 5)
                await host.CompleteAsync(offer);
            host.Time.Advance(TimeSpan.FromSeconds(1));
        }
        var retention = host.Services.GetRequiredService<LogRetention>();

        // 6 times 240,000 bytes are kept, and 1,048,576 may be.
        Assert.Equal(2, await retention.CleanAsync(Cancellation));
        Assert.Equal(0, await retention.CleanAsync(Cancellation));

        foreach (var gone in runs[..2])
            Assert.Equal((120, "The log was removed to make room: 1 MiB are kept of the logs of a tenant."), (await PageAsync(host, gone, "")).Items.Select(i => (i.Number, i.Text)).Single());
        foreach (var kept in runs[2..])
            Assert.Equal(120, (await PageAsync(host, kept, "")).Items.Count);
    }

    [Fact]
    public async Task What_is_no_line_of_text_becomes_one()
    {
        await using var host = await StartAsync();
        var offer = await RunningAsync(host);

        await TellAsync(host, offer, 0, "nothing\0in\nhere\tis\u001b[31m special", "half a \ud83d, the \ude00 other, and a whole 😀", new string('x', 1999) + "😀");

        Assert.Equal(
            ["nothing in here\tis [31m special", "half a \ufffd, the \ufffd other, and a whole 😀", new string('x', 1999)],
            (await PageAsync(host, offer.RunId, "")).Items.Select(i => i.Text));
    }

    [Theory]
    [InlineData(true, "?after=-1", "after", "after is '-1'. Expected a whole number from 0 to 2147483647.")]
    [InlineData(false, "?after=x", "after", "after is 'x'. Expected a whole number from 0 to 2147483647.")]
    [InlineData(true, "?attempt=0", "attempt", "attempt is '0'. Expected a whole number from 1 to 2147483647.")]
    [InlineData(true, "?page_size=5001", "page_size", "page_size is '5001'. Expected a whole number from 1 to 5000.")]
    [InlineData(false, "?page_size=5", "page_size", "page_size is for application/json. As text/plain a log comes whole.")]
    [InlineData(true, "?wait=61s", "wait", "wait is '61s'. Expected seconds, e.g. wait=30s, at most 60s.")]
    [InlineData(false, "?wait=5s", "wait", "wait is for application/json. As text/plain a log is followed with follow=true.")]
    [InlineData(false, "?follow=yes", "follow", "follow is 'yes'. Expected true or false.")]
    [InlineData(true, "?follow=true", "follow", "follow is for text/plain.")]
    public async Task A_request_that_cannot_be_read_is_told_what_is_wrong(bool page, string query, string field, string message)
    {
        await using var host = await StartAsync();
        var offer = await RunningAsync(host);

        using var answer = await GetAsync(host, offer.RunId, query, page);

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        var wrong = Assert.Single((await answer.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Cancellation))!.Errors!);
        Assert.Equal(field, wrong.Field);
        Assert.StartsWith(message, wrong.Message, StringComparison.Ordinal);
    }

    private async Task<OrchestratorHost> StartAsync(Action<Dictionary<string, string?>>? configure = null)
    {
        var host = await OrchestratorHost.StartAsync(_folder.Path, configure);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        return host;
    }

    private static async Task<StepOffer> RunningAsync(OrchestratorHost host)
    {
        await host.SubmitAsync(Runs.Of("compiler/fuse"));
        var offer = await host.OfferAsync();
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer));
        return offer;
    }

    private static Task<string> TellAsync(OrchestratorHost host, StepOffer offer, int from, params string[] lines) => TellAsAsync(host, offer, from, "compiler-1", lines);

    private static async Task<string> TellAsAsync(OrchestratorHost host, StepOffer offer, int from, string worker, params string[] lines) =>
        (await host.RequestAsync<Heartbeat, HeartbeatReply>(new Heartbeat
        {
            Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = worker, Progress = 0.5, Log = lines, LogFrom = from,
        })).Message.Verdict;

    private static async Task<HttpResponseMessage> GetAsync(OrchestratorHost host, Guid run, string query, bool page)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"v1/runs/{run}/steps/1/logs{query}");
        if (page)
            request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        return await host.Http.SendAsync(request, Cancellation);
    }

    private static async Task<StepLogPage> PageAsync(OrchestratorHost host, Guid run, string query)
    {
        using var answer = await GetAsync(host, run, query, page: true);
        return (await answer.Content.ReadFromJsonAsync<StepLogPage>(ContractJson.Options, Cancellation))!;
    }
}
