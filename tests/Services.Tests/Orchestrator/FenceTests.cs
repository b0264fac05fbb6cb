using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>Messages that are late, repeated, out of order or not the sender's to send.</summary>
public sealed class FenceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_worker_that_lost_its_lease_can_never_commit()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var stale = await host.OfferAsync();
        await host.ClaimAsync(stale);
        await LoseLeaseAsync(host, run.RunId, 1);
        var current = await host.OfferAsync();
        Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.CompleteAsync(stale, output: "stale")).Code);
        await host.ClaimAsync(current, "compiler-2");

        Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.CompleteAsync(stale, output: "stale")).Code);
        Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.FailAsync(stale, retryable: false)).Code);
        Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.ClaimAsync(stale)).Code);
        Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(stale));
        // The fence of the current attempt does not help a worker that does not hold it.
        Assert.Equal("lease-lost", Assert.IsType<AttemptRefused>(await host.CompleteAsync(current, worker: "compiler-1", output: "stale")).Code);
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(current, worker: "compiler-2", output: "right"));
        Assert.Equal("run-ended", Assert.IsType<AttemptRefused>(await host.CompleteAsync(stale, output: "stale")).Code);

        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal(RunStates.Succeeded, ended.PublicState);
        Assert.Equal(Runs.Artifact("right", "onnx"), ended.Step(1)!.Outputs.Single());
    }

    [Fact]
    public async Task Repeated_messages_get_the_same_answer_and_change_nothing()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer));
        var claimed = await host.ReadAsync(run.RunId);
        Assert.Equal(offer.Fence, Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer)).Fence);
        Assert.Equal("not-offered", Assert.IsType<AttemptRefused>(await host.ClaimAsync(offer, "compiler-2")).Code);
        Assert.Equal(claimed.Sequence, (await host.ReadAsync(run.RunId)).Sequence);

        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(offer));
        var second = await host.OfferAsync();
        var committed = await host.ReadAsync(run.RunId);
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(offer, output: "another"));
        Assert.Equal("lease-lost", Assert.IsType<AttemptRefused>(await host.FailAsync(offer, retryable: true)).Code);
        Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(offer));
        Assert.Equal("not-offered", Assert.IsType<AttemptRefused>(await host.ClaimAsync(offer)).Code);
        Assert.Equal((committed.Sequence, committed.Version), ((await host.ReadAsync(run.RunId)).Sequence, (await host.ReadAsync(run.RunId)).Version));

        await host.ClaimAsync(second);
        await host.CompleteAsync(second);
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(second, output: "another"));
        Assert.Equal(Runs.Artifact("output of compiler/fuse at 2", "onnx"), (await host.ReadAsync(run.RunId)).Step(2)!.Outputs.Single());
    }

    [Fact]
    public async Task A_failure_told_twice_costs_one_attempt()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        Assert.IsType<AttemptCommitted>(await host.FailAsync(offer, retryable: true));
        await host.OfferAsync();
        Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.FailAsync(offer, retryable: true)).Code);

        Assert.Equal([AttemptStates.Failed, AttemptStates.Offered], (await host.ReadAsync(run.RunId)).Steps.Single().Attempts.OrderBy(a => a.Number).Select(a => a.State));
    }

    [Fact]
    public async Task A_result_without_a_claim_is_refused()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();

        Assert.Equal("lease-lost", Assert.IsType<AttemptRefused>(await host.CompleteAsync(offer)).Code);
        Assert.Equal("lease-lost", Assert.IsType<AttemptRefused>(await host.FailAsync(offer, retryable: false)).Code);
        Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(offer));
        Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.CompleteAsync(offer with { Fence = 99 })).Code);
        Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.CompleteAsync(offer with { Step = 9 })).Code);
        Assert.Equal(AttemptStates.Offered, (await host.ReadAsync(run.RunId)).Steps.Single().Attempts.Single().State);
    }

    [Fact]
    public async Task Messages_about_a_run_that_is_not_there_or_not_theirs_are_refused()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        foreach (var wrong in new[] { offer with { RunId = Guid.NewGuid() }, offer with { Tenant = "somebody-else" } })
        {
            Assert.Equal("unknown-run", Assert.IsType<AttemptRefused>(await host.ClaimAsync(wrong)).Code);
            Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(wrong));
            Assert.Equal("unknown-run", Assert.IsType<AttemptRefused>(await host.CompleteAsync(wrong)).Code);
            Assert.Equal("unknown-run", Assert.IsType<AttemptRefused>(await host.FailAsync(wrong, retryable: false)).Code);
            var cancel = await host.AskAsync<CancelRun, CancelRunAccepted, AttemptRefused>(new CancelRun { Tenant = wrong.Tenant, RunId = wrong.RunId });
            Assert.Equal("unknown-run", Assert.IsType<AttemptRefused>(cancel).Code);
        }
        Assert.Equal(AttemptStates.Offered, (await host.ReadAsync(run.RunId)).Steps.Single().Attempts.Single().State);
    }

    [Fact]
    public async Task Heartbeats_keep_the_lease()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        var granted = Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer));
        Assert.Equal((TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(20)), (granted.Lease, granted.HeartbeatEvery));
        for (var i = 0; i < 10; i++)
        {
            host.Time.Advance(TimeSpan.FromSeconds(59));
            Assert.Equal(HeartbeatVerdicts.Continue, await host.BeatAsync(offer, i / 10.0));
            await host.SweepAsync();
        }
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(offer));
        Assert.Single((await host.ReadAsync(run.RunId)).Steps.Single().Attempts);
    }

    [Fact]
    public async Task A_sweep_that_comes_too_late_for_a_renewed_lease_changes_nothing()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.Bus.Publish(new TinyMLaaS.Orchestrator.Runs.LeaseExpired { RunId = run.RunId, Fence = offer.Fence }, TestContext.Current.CancellationToken);
        await host.Bus.Publish(new TinyMLaaS.Orchestrator.Runs.OfferExpired { RunId = run.RunId, Fence = offer.Fence }, TestContext.Current.CancellationToken);
        Assert.Equal(HeartbeatVerdicts.Continue, await host.BeatAsync(offer));
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(offer));
    }

    [Fact]
    public async Task Leases_that_run_out_three_times_fail_the_step()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            var offer = await host.OfferAsync();
            await host.ClaimAsync(offer);
            await LoseLeaseAsync(host, run.RunId, attempt);
        }

        var ended = await host.UntilAsync(run.RunId, r => r.IsTerminal);
        Assert.Equal((RunStates.Failed, "heartbeat-timeout"), (ended.PublicState, ended.Failure!.Code));
        Assert.Equal(3, ended.Steps.Single().Attempts.Count);
    }

    [Fact]
    public async Task Offers_that_nobody_claims_are_made_again_and_cost_no_attempt()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        for (var i = 1; i <= 5; i++)
        {
            var ignored = await host.OfferAsync();
            Assert.Equal(i, ignored.Attempt);
            host.Time.Advance(TimeSpan.FromSeconds(5));
            await host.SweepAsync();
            await host.UntilAsync(run.RunId, r => r.Steps.Single().Attempts.Count(a => a.State == AttemptStates.Lost) == i);
            // From the third on the pool gets a pause, which doubles.
            host.Time.Advance(TimeSpan.FromSeconds(i < 3 ? 0 : 5 * Math.Pow(2, i - 3)));
        }
        var taken = await host.OfferAsync();
        await host.ClaimAsync(taken);
        await host.CompleteAsync(taken);

        Assert.Equal(RunStates.Succeeded, (await host.ReadAsync(run.RunId)).PublicState);
    }

    [Fact]
    public async Task A_claim_and_the_withdrawal_of_its_offer_have_one_winner()
    {
        await using var host = await StartAsync();
        for (var i = 0; i < 50; i++)
        {
            var run = Runs.Of("compiler/fuse");
            await host.SubmitAsync(run);
            var offer = await host.OfferAsync();
            host.Time.Advance(TimeSpan.FromSeconds(5));
            var claim = host.ClaimAsync(offer);
            await Task.WhenAll(claim, host.SweepAsync());
            if (await claim is AttemptGranted)
            {
                Assert.IsType<AttemptCommitted>(await host.CompleteAsync(offer));
            }
            else
            {
                Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(offer));
                await host.ToEndAsync();
            }
            var ended = await host.ReadAsync(run.RunId);
            Assert.Equal(RunStates.Succeeded, ended.PublicState);
            Assert.Single(ended.Steps.Single().Attempts, a => a.State == AttemptStates.Succeeded);
        }
    }

    [Fact]
    public async Task The_fence_alone_does_not_help_a_worker_that_does_not_hold_the_lease()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(offer, worker: "compiler-2"));
        Assert.Equal("lease-lost", Assert.IsType<AttemptRefused>(await host.FailAsync(offer, retryable: false, worker: "compiler-2")).Code);
        Assert.Equal("lease-lost", Assert.IsType<AttemptRefused>(await host.CompleteAsync(offer, worker: "compiler-2")).Code);
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(offer));
        Assert.Equal("lease-lost", Assert.IsType<AttemptRefused>(await host.CompleteAsync(offer, worker: "compiler-2")).Code);

        var last = await host.OfferAsync();
        await host.ClaimAsync(last);
        await host.CompleteAsync(last);
        Assert.Equal("run-ended", Assert.IsType<AttemptRefused>(await host.CompleteAsync(last, worker: "compiler-2")).Code);
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(last));
    }

    [Fact]
    public async Task A_claim_starts_a_lease_of_its_own()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        Assert.Equal(host.Time.GetUtcNow() + TimeSpan.FromSeconds(5), (await host.ReadAsync(run.RunId)).Steps.Single().Attempts.Single().DueAt);
        host.Time.Advance(TimeSpan.FromSeconds(4));
        await host.ClaimAsync(offer);
        Assert.Equal(host.Time.GetUtcNow() + TimeSpan.FromSeconds(60), (await host.ReadAsync(run.RunId)).Steps.Single().Attempts.Single().DueAt);
    }

    [Fact]
    public async Task The_pause_before_another_offer_begins_with_the_third_and_ends_with_a_claim()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var lost = 0;
        foreach (var seconds in new[] { 0, 0, 5, 10 })
        {
            Assert.Equal(seconds, await IgnoreAsync());
            host.Time.Advance(TimeSpan.FromSeconds(seconds));
        }
        await host.ClaimAsync(await host.OfferAsync());
        await LoseLeaseAsync(host, run.RunId, ++lost);
        Assert.Equal(0, await IgnoreAsync());
        Assert.Equal(1, (await host.ReadAsync(run.RunId)).Steps.Single().Attempts.Count(a => a.Counted));

        async Task<double> IgnoreAsync()
        {
            await host.OfferAsync();
            host.Time.Advance(TimeSpan.FromSeconds(5));
            await host.SweepAsync();
            lost++;
            var stored = await host.UntilAsync(run.RunId, r => r.Steps.Single().Attempts.Count(a => a.State == AttemptStates.Lost) == lost);
            return (stored.Steps.Single().NotBefore - host.Time.GetUtcNow()).TotalSeconds;
        }
    }

    private static async Task LoseLeaseAsync(OrchestratorHost host, Guid run, int lost)
    {
        host.Time.Advance(TimeSpan.FromSeconds(60));
        await host.SweepAsync();
        await host.UntilAsync(run, r => r.Steps.Single().Attempts.Count(a => a.State == AttemptStates.Lost) == lost);
    }

    private async Task<OrchestratorHost> StartAsync()
    {
        // A worker that stays announced while the clock jumps: what is tested here are leases.
        var host = await OrchestratorHost.StartAsync(_folder.Path, s => s["Orchestrator:SilenceSeconds"] = "600");
        await host.AnnounceAsync("compiler", 1, "compiler/fuse", "compiler/quantize");
        return host;
    }
}
