using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class RunLifeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Runs_every_step_on_the_output_of_the_one_before_and_succeeds()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/quantize");

        var accepted = await host.SubmitAsync(run);
        Assert.Equal(1, accepted.Message.Sequence);
        var first = await host.OfferAsync();
        Assert.Equal(("compiler/fuse", 1, 1, run.Model), (first.Uses, first.Step, first.Attempt, first.Input));
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(first));
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(first));
        var second = await host.OfferAsync();
        Assert.Equal(("compiler/quantize", 2), (second.Uses, second.Step));
        Assert.Equal(Runs.Artifact("output of compiler/fuse at 1", "onnx"), second.Input);
        Assert.Equal(["compiler/fuse"], second.Recipe.Steps.Select(s => s.Uses));
        Assert.True(second.Fence > first.Fence);
        Assert.IsType<AttemptGranted>(await host.ClaimAsync(second));
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(second));

        var done = await host.ReadAsync(run.RunId);
        Assert.Equal(RunStates.Succeeded, done.PublicState);
        string[] expected = ["run.accepted", "step.offered", "run.started", "step.started", "step.succeeded", "artifact.stored", "step.offered", "step.started", "step.succeeded", "artifact.stored", "run.succeeded"];
        Assert.Equal(expected, EventsOf(done));
        Assert.Equal(Enumerable.Range(1, expected.Length).Select(i => (long)i), done.Events.Select(e => e.Sequence).Order());
    }

    [Fact]
    public async Task A_second_submission_of_the_same_run_changes_nothing_and_gets_the_same_answer()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");

        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => host.SubmitAsync(run)));
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.CompleteAsync(offer);
        var late = await host.SubmitAsync(run with { Priority = 50 });

        Assert.All(answers.Append(late), a => Assert.Equal((run.RunId, 1L), (a.Message.RunId, a.Message.Sequence)));
        var stored = await host.ReadAsync(run.RunId);
        Assert.Equal((0, 1), (stored.Priority, stored.Steps.Single().Attempts.Count));
    }

    [Fact]
    public async Task Evaluations_run_beside_the_steps_as_soon_as_their_network_is_there()
    {
        await using var host = await StartAsync(slots: 4);
        var run = Runs.Of("compiler/fuse", "installer/bundle").Evaluated();
        await host.AnnounceAsync("installer", 1, "installer/bundle");
        await host.SubmitAsync(run);

        StepOffer[] first = [await host.OfferAsync(), await host.OfferAsync()];
        var fuse = first.Single(o => o.Step == 1);
        var ofInput = first.Single(o => o.Step == 3);
        Assert.Equal(("compiler/evaluate", run.Model, "top1"), (ofInput.Uses, ofInput.Input, ofInput.With!.Value.GetProperty("metric").GetString()));
        Assert.Equal("test", ofInput.Datasets["evaluate"].Name);
        Assert.False(host.HasOffer());
        await host.ClaimAsync(fuse);
        await host.CompleteAsync(fuse);
        var ofFused = await host.OfferAsync();
        Assert.Equal((4, "output of compiler/fuse at 1".Length), (ofFused.Step, (int)ofFused.Input.Size));
        var bundle = await host.OfferAsync("installer");
        await host.ClaimAsync(bundle, "installer-1");
        await host.CompleteAsync(bundle, ArtifactKinds.Bundle, "installer-1");
        Assert.Equal(RunStates.Running, (await host.ReadAsync(run.RunId)).PublicState);
        foreach (var (offer, value) in new[] { (ofInput, 0.9), (ofFused, 0.8) })
        {
            await host.ClaimAsync(offer);
            await host.CompleteAsync(offer, metrics: new Dictionary<string, double> { ["top1"] = value });
        }

        var ended = await host.GetAsync(run.RunId);
        Assert.Equal(RunStates.Succeeded, ended.State);
        // The bundle is no network, so nothing is measured after it.
        Assert.Equal([(0, (double?)0.9), (1, 0.8)], ended.Evaluations.Select(e => (e.AfterStep, e.Value)));
        Assert.Equal(2, ended.Steps.Count);
    }

    [Fact]
    public async Task An_evaluation_of_something_that_is_no_network_after_all_is_skipped()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse").Evaluated();
        await host.SubmitAsync(run);
        for (var i = 0; i < 2; i++)
        {
            var offer = await host.OfferAsync();
            await host.ClaimAsync(offer);
            await host.CompleteAsync(offer, ArtifactKinds.CSource, metrics: new Dictionary<string, double> { ["top1"] = 1 });
        }

        var ended = await host.GetAsync(run.RunId);
        Assert.Equal((RunStates.Succeeded, StepStates.Skipped), (ended.State, ended.Evaluations[1].Work.State));
    }

    [Fact]
    public async Task A_failed_evaluation_fails_the_run()
    {
        await using var host = await StartAsync(slots: 2);
        var run = Runs.Of("compiler/fuse").Evaluated();
        await host.SubmitAsync(run);
        StepOffer[] offers = [await host.OfferAsync(), await host.OfferAsync()];
        var (fuse, evaluation) = (offers.Single(o => o.Step == 1), offers.Single(o => o.Step == 2));
        await host.ClaimAsync(fuse);
        await host.ClaimAsync(evaluation);

        Assert.IsType<AttemptCommitted>(await host.FailAsync(evaluation, retryable: false));

        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal((RunStates.Failed, (int?)null), (ended.PublicState, ended.FailedStep));
        Assert.Equal([StepStates.Cancelled, StepStates.Failed, StepStates.Skipped], ended.Steps.OrderBy(s => s.Position).Select(s => s.State));
        Assert.Equal(AttemptStates.Cancelled, ended.Step(1)!.Attempts.Single().State);
        Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(fuse));
        Assert.Equal("run-ended", Assert.IsType<AttemptRefused>(await host.CompleteAsync(fuse)).Code);
    }

    [Fact]
    public async Task A_failure_that_may_go_away_is_tried_three_times_and_its_history_kept()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/fuse");
        await host.SubmitAsync(run);
        var fences = new List<long>();
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            var offer = await host.OfferAsync();
            Assert.Equal(attempt, offer.Attempt);
            fences.Add(offer.Fence);
            await host.ClaimAsync(offer);
            await host.FailAsync(offer, retryable: true, code: $"broken-{attempt}");
        }

        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal((RunStates.Failed, (int?)1, "broken-3"), (ended.PublicState, ended.FailedStep, ended.Failure!.Code));
        Assert.Equal(["broken-1", "broken-2", "broken-3"], ended.Step(1)!.Attempts.OrderBy(a => a.Number).Select(a => a.Failure!.Code));
        Assert.Equal(StepStates.Skipped, ended.Step(2)!.State);
        Assert.Equal(fences.Order().Distinct(), fences);
    }

    [Fact]
    public async Task A_failure_of_the_users_model_is_not_tried_again()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.FailAsync(offer, retryable: false, code: "unsupported-operator");

        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal((RunStates.Failed, "unsupported-operator", 1), (ended.PublicState, ended.Failure!.Code, ended.Steps.Single().Attempts.Count));
    }

    [Fact]
    public async Task The_pause_before_another_attempt_doubles()
    {
        await using var host = await StartAsync(configure: s => s["Orchestrator:RetrySeconds"] = "2");
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        foreach (var pause in new[] { 2, 4 })
        {
            var offer = await host.OfferAsync();
            await host.ClaimAsync(offer);
            await host.FailAsync(offer, retryable: true);
            Assert.Equal(host.Time.GetUtcNow() + TimeSpan.FromSeconds(pause), (await host.ReadAsync(run.RunId)).Steps.Single().NotBefore);
            Assert.Equal("the pause before the next attempt", (await host.GetAsync(run.RunId)).Steps.Single().WaitingFor);
            host.Time.Advance(TimeSpan.FromSeconds(pause));
        }
        Assert.Equal(3, (await host.OfferAsync()).Attempt);
    }

    [Fact]
    public async Task The_pause_before_another_attempt_is_at_most_a_minute_and_nothing_is_offered_in_it()
    {
        await using var host = await StartAsync(configure: s => s["Orchestrator:RetrySeconds"] = "50");
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        foreach (var pause in new[] { 50, 60 })
        {
            var offer = await host.OfferAsync();
            await host.ClaimAsync(offer);
            await host.FailAsync(offer, retryable: true);
            Assert.Equal(host.Time.GetUtcNow() + TimeSpan.FromSeconds(pause), (await host.ReadAsync(run.RunId)).Steps.Single().NotBefore);
            Assert.Empty(await host.MakeOffersAsync(run.RunId));
            // Nobody has announced itself for that long.
            host.Time.Advance(TimeSpan.FromSeconds(pause));
            await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        }
        Assert.Equal(3, (await host.OfferAsync()).Attempt);
    }

    [Fact]
    public async Task A_run_that_fails_orders_its_other_workers_to_stop()
    {
        await using var host = await StartAsync(slots: 2);
        var run = Runs.Of("compiler/fuse").Evaluated();
        await host.SubmitAsync(run);
        StepOffer[] offers = [await host.OfferAsync(), await host.OfferAsync()];
        foreach (var offer in offers)
            await host.ClaimAsync(offer);
        await host.FailAsync(offers.Single(o => o.Step == 2), retryable: false);

        var order = await host.NextAsync<CancelAttempt>();
        Assert.Equal((run.RunId, 1, offers.Single(o => o.Step == 1).Fence), (order.RunId, order.Step, order.Fence));
    }

    [Fact]
    public async Task The_end_names_the_output_of_the_last_step()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/fuse");
        await host.SubmitAsync(run);
        await host.ToEndAsync();
        await host.ToEndAsync();

        var end = (await host.ReadAsync(run.RunId)).Events.MaxBy(e => e.Sequence)!;
        Assert.Equal(Runs.Artifact("output of compiler/fuse at 2", ArtifactKinds.Onnx), JsonSerializer.Deserialize<RunSucceeded>(end.Data, ContractJson.Options)!.Output);
    }

    [Theory]
    [InlineData(1.5, 1)]
    [InlineData(-0.5, 0)]
    [InlineData(0.25, 0.25)]
    public async Task Progress_is_a_part_of_the_whole(double told, double kept)
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.BeatAsync(offer, told);
        Assert.Equal(kept, (await host.ReadAsync(run.RunId)).Steps.Single().Progress);
    }

    [Fact]
    public async Task A_line_of_the_log_is_cut_at_2000_characters()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.BeatAsync(offer, log: [new string('x', 2001), new string('y', 2000)]);

        Assert.Equal([new string('x', 2000), new string('y', 2000)], (await host.ReadAsync(run.RunId)).Log.SelectMany(l => l.Each()).OrderBy(l => l.Number).Select(l => l.Text));
    }

    [Fact]
    public async Task A_step_without_an_output_fails_the_run_instead_of_leaving_the_next_one_waiting()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.AskAsync<CompleteAttempt, AttemptCommitted, AttemptRefused>(new CompleteAttempt
        {
            Tenant = offer.Tenant, RunId = offer.RunId, Step = 1, Attempt = 1, Fence = offer.Fence, Worker = "compiler-1", Outputs = [], Report = Runs.Artifact("r", ArtifactKinds.Report),
        });

        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal((RunStates.Failed, "no-output"), (ended.PublicState, ended.Failure!.Code));
    }

    [Fact]
    public async Task Cancelling_before_anything_runs_ends_the_run_at_once()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();

        Assert.Equal(RunStates.Cancelled, await host.CancelAsync(run.RunId));
        Assert.Equal("run-ended", Assert.IsType<AttemptRefused>(await host.ClaimAsync(offer)).Code);
        Assert.Equal(RunStates.Cancelled, await host.CancelAsync(run.RunId));
        Assert.All((await host.ReadAsync(run.RunId)).Steps, s => Assert.Equal(StepStates.Cancelled, s.State));
    }

    [Fact]
    public async Task A_run_that_was_cancelled_before_it_arrived_ends_whether_it_is_new_or_runs()
    {
        await using var host = await StartAsync();
        var (late, begun, done) = (Runs.Of("compiler/fuse") with { Cancelled = true }, Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse"));
        await host.SubmitAsync(done);
        await host.ToEndAsync();
        await host.SubmitAsync(begun);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);

        foreach (var run in new[] { late, begun, done })
            await host.SubmitAsync(run with { Cancelled = true });

        Assert.Equal(HeartbeatVerdicts.Cancel, await host.BeatAsync(offer));
        await host.FailAsync(offer, retryable: false, code: "cancelled");
        Assert.Equal(["run.accepted", "run.cancelling", "run.cancelled"], EventsOf(await host.ReadAsync(late.RunId)));
        Assert.Equal("run.cancelled", EventsOf(await host.ReadAsync(begun.RunId))[^1]);
        Assert.Equal("run.succeeded", EventsOf(await host.ReadAsync(done.RunId))[^1]);
        foreach (var run in new[] { late, begun, done })
            Assert.Empty(TinyMLaaS.Orchestration.Testing.Invariants.Check(await host.ReadAsync(run.RunId)));
    }

    [Fact]
    public async Task Cancelling_waits_for_the_worker_and_beats_a_result_that_comes_after_it()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);

        Assert.Equal(RunStates.Cancelling, await host.CancelAsync(run.RunId));
        Assert.Equal(HeartbeatVerdicts.Cancel, await host.BeatAsync(offer));
        Assert.Equal("run-ended", Assert.IsType<AttemptRefused>(await host.CompleteAsync(offer)).Code);

        var ended = await host.ReadAsync(run.RunId);
        Assert.Equal(RunStates.Cancelled, ended.PublicState);
        Assert.Empty(ended.Step(1)!.Outputs);
        Assert.Equal("run.cancelled", EventsOf(ended)[^1]);
    }

    [Fact]
    public async Task Cancelling_orders_the_worker_to_stop_and_ends_when_it_did()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.CancelAsync(run.RunId);

        using var limit = new CancellationTokenSource(OrchestratorHost.Limit);
        object order;
        do
            order = await host.Published.ReadAsync(limit.Token);
        while (order is not CancelAttempt);
        Assert.Equal((run.RunId, offer.Fence), (((CancelAttempt)order).RunId, ((CancelAttempt)order).Fence));
        Assert.IsType<AttemptCommitted>(await host.FailAsync(offer, retryable: false, code: "cancelled"));
        Assert.Equal(RunStates.Cancelled, (await host.ReadAsync(run.RunId)).PublicState);
        Assert.IsType<AttemptCommitted>(await host.FailAsync(offer, retryable: false, code: "cancelled"));
    }

    [Fact]
    public async Task A_worker_that_ignores_the_cancellation_holds_the_run_up_for_one_lease_at_most()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        await host.CancelAsync(run.RunId);
        host.Time.Advance(TimeSpan.FromSeconds(40));
        await host.BeatAsync(offer);
        host.Time.Advance(TimeSpan.FromSeconds(21));
        await host.SweepAsync();

        await host.UntilAsync(run.RunId, r => r.PublicState == RunStates.Cancelled);
        Assert.Equal(HeartbeatVerdicts.Lost, await host.BeatAsync(offer));
    }

    [Fact]
    public async Task The_log_of_a_step_is_cut_at_its_limit_and_says_so()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        var line = new string('x', 1023);
        for (var i = 0; i < 10; i++)
            await host.BeatAsync(offer, log: Enumerable.Repeat(line, 30).ToArray());

        var text = await host.Http.GetStringAsync($"v1/runs/{run.RunId}/steps/1/logs", TestContext.Current.CancellationToken);
        var lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(256, lines.Length);
        Assert.All(lines[..^1], l => Assert.Equal(line, l));
        Assert.Equal("The log ends here: a step keeps 256 KiB.", lines[^1]);
    }

    private static string[] EventsOf(PipelineRun run) =>
        [.. run.Events.OrderBy(e => e.Sequence).Select(e => e.Type["io.tinymlaas.".Length..^".v1".Length])];

    private async Task<OrchestratorHost> StartAsync(int slots = 1, Action<Dictionary<string, string?>>? configure = null)
    {
        var host = await OrchestratorHost.StartAsync(_folder.Path, configure);
        await host.AnnounceAsync("compiler", slots, "compiler/fuse", "compiler/quantize", "compiler/evaluate");
        return host;
    }
}
