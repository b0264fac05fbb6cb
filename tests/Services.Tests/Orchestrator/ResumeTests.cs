using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestration.Testing;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class ResumeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_failed_run_goes_on_from_its_failed_step_and_repeats_no_finished_one()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/quantize", "compiler/fuse");
        await host.SubmitAsync(run);
        await host.ToEndAsync();
        var failed = await FailAsync(host);
        var before = await host.ReadAsync(run.RunId);
        Assert.Equal(RunStates.Failed, before.PublicState);

        var answer = Assert.IsType<ResumeRunAccepted>(await host.ResumeAsync(run.RunId));

        Assert.Equal((run.RunId, RunStates.Running), (answer.RunId, answer.State));
        var resumed = await host.GetAsync(run.RunId);
        Assert.Equal((null, null, 1), (resumed.Failure, resumed.EndedAt, resumed.Resumptions));
        Assert.Equal([StepStates.Succeeded, StepStates.Offered, StepStates.Pending], (await host.UntilAsync(run.RunId, r => r.HasActiveAttempt)).Steps.OrderBy(s => s.Position).Select(s => s.State));
        var again = await host.OfferAsync();
        Assert.Equal((2, 2, failed.Fence + 1), (again.Step, again.Attempt, again.Fence));
        Assert.Equal(Runs.Artifact("output of compiler/fuse at 1", ArtifactKinds.Onnx), again.Input);
        await host.ClaimAsync(again);
        await host.CompleteAsync(again);
        await host.ToEndAsync();

        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal(RunStates.Succeeded, ended.PublicState);
        Assert.Equal([1, 2, 1], ended.Steps.OrderBy(s => s.Position).Select(s => s.Attempts.Count));
        Assert.Equal((before.StartedAt, AttemptStates.Failed), (ended.StartedAt, ended.Step(2)!.Attempts.Single(a => a.Number == 1).State));
        Assert.Equal("io.tinymlaas.run.resumed.v1", ended.Events.Single(e => e.Sequence == before.Sequence + 1).Type);
        Assert.Empty(Invariants.Check(ended));
    }

    [Fact]
    public async Task The_tries_begin_anew()
    {
        await using var host = await StartAsync(s => s["Orchestrator:MaxAttempts"] = "2");
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        for (var round = 0; round < 3; round++)
        {
            for (var attempt = 1; attempt <= 2; attempt++)
                Assert.Equal(2 * round + attempt, (await FailAsync(host, retryable: true)).Attempt);
            var failed = await host.ReadAsync(run.RunId);
            Assert.Equal((RunStates.Failed, round), (failed.PublicState, failed.Resumptions));
            Assert.IsType<ResumeRunAccepted>(await host.ResumeAsync(run.RunId));
        }
        await host.ToEndAsync();

        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal((RunStates.Succeeded, 7L), (ended.PublicState, ended.Fence));
        Assert.Empty(Invariants.Check(ended));
    }

    [Fact]
    public async Task A_cancelled_run_goes_on_too_and_what_its_workers_still_say_changes_nothing()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var stopped = await host.OfferAsync();
        await host.ClaimAsync(stopped);
        await host.CancelAsync(run.RunId);
        Assert.Equal("run-cancelling", Assert.IsType<ResumeRunRefused>(await host.ResumeAsync(run.RunId)).Code);
        await host.FailAsync(stopped, retryable: false, code: "cancelled");

        Assert.IsType<ResumeRunAccepted>(await host.ResumeAsync(run.RunId));

        var again = await host.OfferAsync();
        Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.CompleteAsync(stopped, output: "stale")).Code);
        Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(stopped));
        await host.ClaimAsync(again, "compiler-2");
        await host.CompleteAsync(again, worker: "compiler-2");
        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal((RunStates.Succeeded, Runs.Artifact("output of compiler/fuse at 1", ArtifactKinds.Onnx)), (ended.PublicState, ended.Steps.Single().Outputs.Single()));
        Assert.Empty(Invariants.Check(ended));
    }

    [Fact]
    public async Task A_run_that_was_cancelled_before_anything_ran_is_accepted_again()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        await host.CancelAsync(run.RunId);

        Assert.Equal(RunStates.Accepted, Assert.IsType<ResumeRunAccepted>(await host.ResumeAsync(run.RunId)).State);

        Assert.Empty(Invariants.Check(await host.ReadAsync(run.RunId)));
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        await host.ToEndAsync();
        Assert.Equal(RunStates.Succeeded, (await host.ReadAsync(run.RunId)).PublicState);
    }

    [Fact]
    public async Task A_failed_evaluation_is_measured_again_and_one_of_no_network_is_skipped_again()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse").Evaluated();
        await host.SubmitAsync(run);
        var fuse = await host.OfferAsync();
        Assert.Equal(1, fuse.Step);
        await host.ClaimAsync(fuse);
        await host.CompleteAsync(fuse, ArtifactKinds.CSource);
        await FailAsync(host);
        Assert.Equal(RunStates.Failed, (await host.ReadAsync(run.RunId)).PublicState);

        await host.ResumeAsync(run.RunId);

        var offer = await host.OfferAsync();
        Assert.Equal(PipelineRun.Evaluator, offer.Uses);
        await host.ClaimAsync(offer);
        await host.CompleteAsync(offer, metrics: new Dictionary<string, double> { ["top1"] = 0.5 });
        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal((RunStates.Succeeded, StepStates.Skipped), (ended.PublicState, ended.Step(3)!.State));
        Assert.Empty(Invariants.Check(ended));
    }

    [Fact]
    public async Task The_same_request_resumes_once_whatever_became_of_the_run_since()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        await FailAsync(host);

        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => host.ResumeAsync(run.RunId, "first")));
        // Another one while the run goes on finds what it wants.
        answers = [.. answers, await host.ResumeAsync(run.RunId, "meanwhile"), await host.ResumeAsync(run.RunId)];
        Assert.All(answers, a => Assert.Equal(RunStates.Running, Assert.IsType<ResumeRunAccepted>(a).State));
        Assert.Equal(1, (await host.ReadAsync(run.RunId)).Resumptions);
        await FailAsync(host);
        Assert.Equal(RunStates.Failed, Assert.IsType<ResumeRunAccepted>(await host.ResumeAsync(run.RunId, "first")).State);
        Assert.Equal(RunStates.Running, Assert.IsType<ResumeRunAccepted>(await host.ResumeAsync(run.RunId, "second")).State);
        await host.ToEndAsync();

        Assert.Equal(RunStates.Succeeded, Assert.IsType<ResumeRunAccepted>(await host.ResumeAsync(run.RunId, "second")).State);
        Assert.Equal("run-succeeded", Assert.IsType<ResumeRunRefused>(await host.ResumeAsync(run.RunId, "third")).Code);
        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal((2, RunStates.Succeeded), (ended.Resumptions, ended.PublicState));
        Assert.Empty(Invariants.Check(ended));
    }

    [Fact]
    public async Task A_run_that_never_ended_is_refused_and_so_is_one_of_another_tenant()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        await host.ClaimAsync(await host.OfferAsync());

        var active = Assert.IsType<ResumeRunRefused>(await host.ResumeAsync(run.RunId));
        var foreign = Assert.IsType<ResumeRunRefused>(await host.ResumeAsync(run.RunId, tenant: "somebody-else"));
        var unknown = Assert.IsType<ResumeRunRefused>(await host.ResumeAsync(Guid.NewGuid()));

        Assert.Equal(("run-active", $"Run {run.RunId} is running. Only a run that failed or was cancelled can be resumed."), (active.Code, active.Message));
        Assert.Equal(("unknown-run", "unknown-run"), (foreign.Code, unknown.Code));
        await host.CancelAsync(run.RunId);
        Assert.Equal("unknown-run", Assert.IsType<ResumeRunRefused>(await host.ResumeAsync(run.RunId, tenant: "somebody-else")).Code);
    }

    [Fact]
    public async Task What_somebody_else_has_made_meanwhile_comes_from_the_cache()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse") with { Cache = true };
        await host.SubmitAsync(run);
        await FailAsync(host);
        await host.SubmitAsync(run with { RunId = Guid.NewGuid() });
        await host.ToEndAsync();

        Assert.Equal(RunStates.Succeeded, Assert.IsType<ResumeRunAccepted>(await host.ResumeAsync(run.RunId)).State);

        var ended = await host.ReadAsync(run.RunId);
        Assert.True(ended.Steps.Single().Cached);
        Assert.Empty(Invariants.Check(ended));
    }

    [Fact]
    public async Task Only_the_newest_keys_are_kept()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        for (var i = 0; i < 40; i++)
        {
            await FailAsync(host);
            await host.ResumeAsync(run.RunId, $"key-{i}");
        }

        Assert.Equal(Enumerable.Range(8, 32).Select(i => $"key-{i}"), (await host.ReadAsync(run.RunId)).ResumeKeys);
    }

    private static async Task<StepOffer> FailAsync(OrchestratorHost host, bool retryable = false)
    {
        var offer = await host.OfferAsync();
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer));
        Assert.IsType<AttemptCommitted>(await host.FailAsync(offer, retryable));
        return offer;
    }

    private async Task<OrchestratorHost> StartAsync(Action<Dictionary<string, string?>>? configure = null)
    {
        var host = await OrchestratorHost.StartAsync(_folder.Path, configure);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse", "compiler/quantize", "compiler/evaluate");
        return host;
    }
}
