using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Contracts.Transformers;
using TinyMLaaS.Orchestration.Testing;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>How long things may take, what becomes of them then, and when a step is tried again.</summary>
public sealed class TimeoutTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_step_that_waits_too_long_for_a_worker_fails_and_says_what_to_do()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var run = Runs.Of("compiler/fuse", "compiler/quantize").Step(1, s => s with { Timeouts = new StepTimeouts { Queue = "2m" } });
        await host.SubmitAsync(run);
        await PassAsync(host, TimeSpan.FromSeconds(119));
        Assert.Equal(RunStates.Accepted, (await host.ReadAsync(run.RunId)).PublicState);

        await PassAsync(host, TimeSpan.FromSeconds(1));

        var ended = await host.UntilAsync(run.RunId, r => r.IsTerminal);
        Assert.Equal((RunStates.Failed, "queue-timeout", (int?)1, true), (ended.PublicState, ended.Failure!.Code, ended.FailedStep, ended.Failure.Retryable));
        Assert.Equal(
            "step 1 (compiler/fuse) has waited 2m for a worker of kind 'compiler' and none has taken it. Start one, or give it more slots, and resume the run; or submit it with a longer timeouts.queue than 2m.",
            ended.Failure.Message);
        Assert.Equal((0, StepStates.Skipped), (ended.Step(1)!.Attempts.Count, ended.Step(2)!.State));
        Assert.Empty(Invariants.Check(ended));
        // A worker that comes later can still do it.
        await host.AnnounceAsync("compiler", 1, "compiler/fuse", "compiler/quantize");
        await host.ResumeAsync(run.RunId);
        await host.ToEndAsync();
        Assert.Equal(StepStates.Succeeded, (await host.ReadAsync(run.RunId)).Step(1)!.State);
    }

    [Fact]
    public async Task Offers_that_nobody_claims_are_time_spent_waiting_and_attempts_that_ran_are_not()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse").Step(1, s => s with { Timeouts = new StepTimeouts { Queue = "1m", Attempt = "1h" } });
        await host.SubmitAsync(run);
        var first = await host.OfferAsync();
        await PassAsync(host, TimeSpan.FromSeconds(50));
        await host.UntilAsync(run.RunId, r => r.Fence >= 2 || r.Steps[0].State == StepStates.Pending);
        await AnnounceAsync(host);
        StepOffer offer;
        do
            offer = await host.OfferAsync();
        while (offer.Fence == first.Fence);
        await host.ClaimAsync(offer);
        // It runs, so it does not wait.
        await PassAsync(host, TimeSpan.FromSeconds(50));
        Assert.Equal(StepStates.Running, (await host.ReadAsync(run.RunId)).Steps[0].State);
        await host.FailAsync(offer, retryable: true);
        await AnnounceAsync(host);
        var again = await host.OfferAsync();
        await PassAsync(host, TimeSpan.FromSeconds(59), sweep: false);
        await host.SweepAsync();
        Assert.False((await host.ReadAsync(run.RunId)).IsTerminal);

        await PassAsync(host, TimeSpan.FromSeconds(2));

        var ended = await host.UntilAsync(run.RunId, r => r.IsTerminal);
        Assert.Equal("queue-timeout", ended.Failure!.Code);
        Assert.Equal("run-ended", Assert.IsType<AttemptRefused>(await host.ClaimAsync(again)).Code);
        Assert.Empty(Invariants.Check(ended));
    }

    [Fact]
    public async Task An_attempt_that_runs_too_long_is_stopped_at_its_worker_and_tried_again()
    {
        await using var host = await StartAsync(s => s["Orchestrator:MaxAttempts"] = "2");
        var run = Runs.Of("compiler/fuse").Step(1, s => s with { Timeouts = new StepTimeouts { Attempt = "2m" } });
        await host.SubmitAsync(run);
        foreach (var attempt in new[] { 1, 2 })
        {
            await AnnounceAsync(host);
            var offer = await host.OfferAsync();
            var granted = Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer));
            Assert.Equal((TimeSpan.FromMinutes(2), false), (granted.Limit, granted.Waits));
            // It is alive all the time.
            for (var i = 0; i < 3; i++)
            {
                Assert.Equal(HeartbeatVerdicts.Continue, await host.BeatAsync(offer, progress: 0.1 * i));
                await PassAsync(host, TimeSpan.FromSeconds(39.9));
            }
            Assert.Equal(HeartbeatVerdicts.Continue, await host.BeatAsync(offer));

            await PassAsync(host, TimeSpan.FromSeconds(0.3));

            var seen = await host.UntilAsync(run.RunId, r => r.Steps[0].Attempts.Any(a => a.Number == attempt && a.State == AttemptStates.Failed));
            Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(offer));
            Assert.Contains(Assert.IsType<AttemptRefused>(await host.CompleteAsync(offer)).Code, Refusals);
            Assert.Equal(
                ("attempt-timeout", $"Attempt {attempt} at step 1 (compiler/fuse) was stopped after 2m. If it needs longer, submit the run with a longer timeouts.attempt than 2m; if it does not, look at its log."),
                (seen.Steps[0].Attempts.Single(a => a.Number == attempt).Failure!.Code, seen.Steps[0].Attempts.Single(a => a.Number == attempt).Failure!.Message));
            var order = await host.NextAsync<CancelAttempt>();
            Assert.Equal((offer.Fence, StopReasons.Timeout), (order.Fence, order.Reason));
        }

        var ended = await host.UntilAsync(run.RunId, r => r.IsTerminal);
        Assert.Equal((RunStates.Failed, "attempt-timeout", (int?)1), (ended.PublicState, ended.Failure!.Code, ended.FailedStep));
        Assert.Empty(Invariants.Check(ended));
    }

    [Fact]
    public async Task A_run_that_takes_too_long_as_a_whole_is_stopped_and_can_go_on_for_as_long_again()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/quantize");
        run = run with { Pipeline = run.Pipeline with { Timeouts = new RunTimeouts { Total = "90s" } } };
        await host.SubmitAsync(run);
        await host.ToEndAsync();
        await PassAsync(host, TimeSpan.FromSeconds(80));
        await AnnounceAsync(host);
        await host.UntilAsync(run.RunId, r => r.Step(2)!.State is StepStates.Pending or StepStates.Offered);
        StepOffer offer;
        do
            offer = await host.OfferAsync();
        while (await host.ClaimAsync(offer) is AttemptRefused);

        await PassAsync(host, TimeSpan.FromSeconds(10));

        var ended = await host.UntilAsync(run.RunId, r => r.IsTerminal);
        Assert.Equal((RunStates.Failed, "total-timeout", (int?)null, (DateTimeOffset?)null), (ended.PublicState, ended.Failure!.Code, ended.FailedStep, ended.LimitAt));
        Assert.Equal("The run was stopped after 90s, when step 2 (compiler/quantize) was running. Resume it to go on for another 90s, or submit it with a longer timeouts.total.", ended.Failure.Message);
        Assert.Equal((offer.Fence, StopReasons.Cancelled), await host.NextAsync<CancelAttempt>() is var order ? (order.Fence, order.Reason) : default);
        Assert.Equal([StepStates.Succeeded, StepStates.Cancelled], ended.Steps.OrderBy(s => s.Position).Select(s => s.State));
        Assert.Empty(Invariants.Check(ended));
        await host.ResumeAsync(run.RunId);
        Assert.Equal(host.Time.GetUtcNow() + TimeSpan.FromSeconds(90), (await host.ReadAsync(run.RunId)).LimitAt);
    }

    [Fact]
    public async Task What_ends_has_no_limit_any_more()
    {
        await using var host = await StartAsync(s =>
        {
            foreach (var limit in (string[])["Queue", "Attempt", "Total"])
                s[$"Orchestrator:{limit}TimeoutSeconds"] = "100";
        });
        var (done, cancelled) = (Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse"));
        await host.SubmitAsync(done);
        await host.ToEndAsync();
        await host.SubmitAsync(cancelled);
        await host.ClaimAsync(await host.OfferAsync());
        await host.CancelAsync(cancelled.RunId);

        await PassAsync(host, TimeSpan.FromSeconds(200), sweep: false);

        // The lease of the attempt that does not stop was all that was due.
        await host.SweepAsync();
        await host.UntilAsync(cancelled.RunId, r => r.IsTerminal);
        Assert.Equal(0, await host.SweepAsync());
        foreach (var run in new[] { done, cancelled })
        {
            var ended = await host.ReadAsync(run.RunId);
            Assert.Null(ended.LimitAt);
            Assert.All(ended.Steps, s => Assert.Null(s.QueueLimitAt));
            Assert.All(ended.Steps.SelectMany(s => s.Attempts), a => Assert.Null(a.LimitAt));
        }
    }

    [Fact]
    public async Task A_step_that_waits_for_its_worker_takes_it_back()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse").Step(1, s => s with { OnLeaseLost = LeaseLossPolicies.Wait, Timeouts = new StepTimeouts { Attempt = "6m", Heartbeat = "30s" } });
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        var granted = Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer));
        Assert.Equal((TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(10), true), (granted.Lease, granted.HeartbeatEvery, granted.Waits));

        await PassAsync(host, TimeSpan.FromMinutes(2));

        var waiting = await host.UntilAsync(run.RunId, r => r.Steps[0].Activity is not null);
        Assert.Equal((StepStates.Running, 1), (waiting.Steps[0].State, waiting.Steps[0].Attempts.Count));
        Assert.Equal("waiting for compiler-1, which sends no heartbeats, until 2030-01-01 00:06:00 UTC", waiting.Steps[0].Activity);
        Assert.Empty(Invariants.Check(waiting));
        Assert.Equal(0, await host.SweepAsync());
        Assert.Equal(HeartbeatVerdicts.Continue, await host.BeatAsync(offer));
        await PassAsync(host, TimeSpan.FromMinutes(2));
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(offer));
        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal(RunStates.Succeeded, ended.PublicState);
        Assert.Empty(Invariants.Check(ended));
    }

    [Fact]
    public async Task A_step_waits_for_its_worker_until_the_time_of_the_attempt_is_over()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse").Step(1, s => s with { OnLeaseLost = LeaseLossPolicies.Wait, Timeouts = new StepTimeouts { Attempt = "3m" } });
        await host.SubmitAsync(run);
        await host.ClaimAsync(await host.OfferAsync());
        await PassAsync(host, TimeSpan.FromMinutes(2));
        await host.UntilAsync(run.RunId, r => r.Steps[0].Activity is not null);

        await PassAsync(host, TimeSpan.FromMinutes(1));

        await host.UntilAsync(run.RunId, r => r.Steps[0].Attempts.Count(a => !a.IsActive) == 1);
        await AnnounceAsync(host);
        Assert.Equal(2, (await host.OfferAsync()).Attempt);
        Assert.Empty(Invariants.Check(await host.ReadAsync(run.RunId)));
    }

    [Fact]
    public async Task A_worker_that_is_waited_for_and_says_goodbye_is_not_waited_for_and_a_cancellation_waits_one_lease_for_it()
    {
        await using var host = await StartAsync(slots: 2);
        SubmitRun[] runs = [.. Enumerable.Range(0, 2).Select(_ => Runs.Of("compiler/fuse").Step(1, s => s with { OnLeaseLost = LeaseLossPolicies.Wait }))];
        foreach (var run in runs)
        {
            await host.SubmitAsync(run);
            await host.ClaimAsync(await host.OfferAsync(), $"compiler-{run.RunId}");
        }
        await PassAsync(host, TimeSpan.FromMinutes(2));
        foreach (var run in runs)
            await host.UntilAsync(run.RunId, r => r.Steps[0].Activity is not null);

        await host.Bus.Publish(new WorkerAnnounced
        {
            Worker = "compiler", Instance = $"compiler-{runs[0].RunId}", Queue = "v1.offer.any.compiler", Slots = 1, Transformers = [], At = host.Time.GetUtcNow(), Leaving = true,
        }, TestContext.Current.CancellationToken);
        await host.UntilAsync(runs[0].RunId, r => r.Steps[0].Attempts[0].State == AttemptStates.Lost);
        Assert.Equal(RunStates.Cancelling, await host.CancelAsync(runs[1].RunId));
        await PassAsync(host, TimeSpan.FromSeconds(60));

        await host.UntilAsync(runs[1].RunId, r => r.PublicState == RunStates.Cancelled);
    }

    [Fact]
    public async Task A_step_that_fails_when_its_worker_is_silent_is_not_tried_again()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse").Step(1, s => s with { OnLeaseLost = LeaseLossPolicies.Fail, Timeouts = new StepTimeouts { Heartbeat = "5s" } });
        await host.SubmitAsync(run);
        await host.ClaimAsync(await host.OfferAsync());

        await PassAsync(host, TimeSpan.FromSeconds(5));

        var ended = await host.UntilAsync(run.RunId, r => r.IsTerminal);
        Assert.Equal((RunStates.Failed, "heartbeat-timeout", (int?)1, 1), (ended.PublicState, ended.Failure!.Code, ended.FailedStep, ended.Steps[0].Attempts.Count));
        Assert.Equal(
            "step 1 (compiler/fuse) was tried 1 times, and its last worker (compiler-1) has sent no heartbeat for 5s. Look at the log of that worker: it may have run out of memory. Then resume the run, or submit it with a longer timeouts.heartbeat than 5s.",
            ended.Failure.Message);
        Assert.Empty(Invariants.Check(ended));
    }

    [Theory]
    [InlineData(1, "broken", null, 1)]
    [InlineData(2, "broken", null, 2)]
    [InlineData(5, "broken", null, 5)]
    [InlineData(5, "worker-crashed", null, 1)]
    [InlineData(5, "refused-everywhere", null, 1)]
    [InlineData(null, "broken", "4", 4)]
    public async Task A_step_says_how_often_and_after_which_failures_it_is_tried_again(int? attempts, string code, string? option, int expected)
    {
        await using var host = await StartAsync(s =>
        {
            s["Orchestrator:MaxAttempts"] = option ?? "3";
            s["Orchestrator:NotRetried:0"] = "refused-everywhere";
        });
        var run = Runs.Of("compiler/fuse").Step(1, s => s with { Retry = new StepRetry { Attempts = attempts, NotOn = ["memory-exceeded", "worker-crashed"] } });
        await host.SubmitAsync(run);
        do
        {
            var offer = await host.OfferAsync();
            await host.ClaimAsync(offer);
            await host.FailAsync(offer, retryable: true, code);
        }
        while (!(await host.ReadAsync(run.RunId)).IsTerminal);

        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal((expected, code), (ended.Steps[0].Attempts.Count, ended.Failure!.Code));
    }

    [Fact]
    public void A_step_has_its_own_words_then_its_documents_then_the_options()
    {
        var options = new OrchestratorOptions();
        var submitted = Runs.Of("compiler/fuse", "compiler/fuse").Evaluated();
        submitted = submitted with { Pipeline = submitted.Pipeline with { Timeouts = new RunTimeouts { Queue = "3m", Heartbeat = "30s", Total = "2h" } } };
        submitted = submitted.Step(2, s => s with { Timeouts = new StepTimeouts { Queue = "7m", Attempt = "9m" }, Retry = new StepRetry { Attempts = 9, Backoff = "5m", NotOn = ["x"] }, OnLeaseLost = "fail" });
        var run = PipelineRun.From(submitted);
        run.Accept(default, options);

        var (first, second, evaluation) = (StepPolicy.Of(run, run.Step(1)!, options), StepPolicy.Of(run, run.Step(2)!, options), StepPolicy.Of(run, run.Step(3)!, options));

        Assert.Equal((3, 24 * 60, 30, 10), (first.Queue.TotalMinutes, first.Attempt.TotalMinutes, first.Lease.TotalSeconds, first.HeartbeatEvery.TotalSeconds));
        Assert.Equal((3, "retry", 1, 60), (first.Attempts, first.OnLeaseLost, first.Backoff.TotalSeconds, first.LongestBackoff.TotalSeconds));
        Assert.Equal((7, 9, 30), (second.Queue.TotalMinutes, second.Attempt.TotalMinutes, second.Lease.TotalSeconds));
        Assert.Equal((9, "fail", 300, 300), (second.Attempts, second.OnLeaseLost, second.Backoff.TotalSeconds, second.LongestBackoff.TotalSeconds));
        Assert.Equal(["x"], second.NotOn);
        Assert.Equal((3, 30, 3), (evaluation.Queue.TotalMinutes, evaluation.Lease.TotalSeconds, evaluation.Attempts));
        Assert.Equal(TimeSpan.FromHours(2), StepPolicy.TotalOf(run, options));
    }

    [Fact]
    public void Pauses_differ_from_run_to_run_and_are_the_same_each_time()
    {
        var options = new OrchestratorOptions { RetrySeconds = 10, LongestRetrySeconds = 25, RetryJitter = 0.5 };
        TimeSpan Pause(Guid id, int tries)
        {
            var run = PipelineRun.From(Runs.Of("compiler/fuse") with { RunId = id });
            run.Accept(default, options);
            var step = run.Step(1)!;
            for (var i = 1; i <= tries; i++)
                step.Attempts.Add(new StepAttempt { Number = i, Fence = i, State = AttemptStates.Failed, OfferedAt = default, DueAt = default, Counted = true });
            return StepPolicy.Of(run, step, options).PauseAfter(step, tries);
        }
        Guid[] ids = [.. Enumerable.Range(1, 200).Select(i => new Guid(i, 0, 0, new byte[8]))];

        foreach (var (tries, longest) in new[] { (1, 10), (2, 20), (3, 25), (30, 25) })
        {
            var pauses = ids.Select(id => Pause(id, tries)).ToArray();
            Assert.Equal(pauses, ids.Select(id => Pause(id, tries)));
            Assert.All(pauses, p => Assert.InRange(p.TotalSeconds, longest / 2.0, longest));
            // Spread over the whole range: the mean of 200 draws is within 4 standard errors of the middle.
            Assert.InRange(pauses.Average(p => p.TotalSeconds), 0.75 * longest - 0.04 * longest, 0.75 * longest + 0.04 * longest);
        }
    }

    private static readonly string[] Refusals = ["lease-lost", "run-ended", "stale-fence"];

    private static Task AnnounceAsync(OrchestratorHost host) => host.AnnounceAsync("compiler", 1, "compiler/fuse", "compiler/quantize", "compiler/evaluate");

    private static async Task PassAsync(OrchestratorHost host, TimeSpan time, bool sweep = true)
    {
        host.Time.Advance(time);
        if (sweep)
            await host.SweepAsync();
    }

    private async Task<OrchestratorHost> StartAsync(Action<Dictionary<string, string?>>? configure = null, int slots = 1)
    {
        var host = await OrchestratorHost.StartAsync(_folder.Path, configure);
        await host.AnnounceAsync("compiler", slots, "compiler/fuse", "compiler/quantize", "compiler/evaluate");
        return host;
    }
}
