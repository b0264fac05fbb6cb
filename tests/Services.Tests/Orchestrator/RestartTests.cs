using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>A process ends with whatever its transport held; the next one derives the rest from the rows.</summary>
public sealed class RestartTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Moments() => ["submitted", "offered", "claimed", "progressed", "first committed", "second claimed", "cancelling"];

    [Theory]
    [MemberData(nameof(Moments))]
    public async Task A_run_ends_once_wherever_the_process_before_ended(string moment)
    {
        var run = Runs.Of("compiler/fuse", "compiler/quantize");
        StepOffer? stale;
        await using (var first = await OrchestratorHost.StartAsync(_folder.Path))
            stale = await BringToAsync(first, run, moment);

        await using var second = await OrchestratorHost.StartAsync(_folder.Path);
        if (moment == "cancelling")
        {
            await second.UntilAsync(run.RunId, r => r.PublicState == RunStates.Cancelled);
            return;
        }
        await second.AnnounceAsync("compiler", 1, "compiler/fuse", "compiler/quantize");
        for (var step = moment is "first committed" or "second claimed" ? 2 : 1; step <= 2; step++)
        {
            var offer = await second.OfferAsync();
            Assert.Equal(step, offer.Step);
            // A worker that outlived its orchestrator cannot commit any more.
            if (stale is not null)
                Assert.IsType<AttemptRefused>(await second.CompleteAsync(stale, output: "stale"));
            await second.ClaimAsync(offer, "compiler-2");
            Assert.IsType<AttemptCommitted>(await second.CompleteAsync(offer, worker: "compiler-2"));
        }

        var ended = await second.ReadAsync(run.RunId);
        Assert.Equal(RunStates.Succeeded, ended.PublicState);
        Assert.All(ended.Steps, s => Assert.Single(s.Attempts, a => a.State == AttemptStates.Succeeded));
        Assert.All(ended.Steps.SelectMany(s => s.Attempts), a => Assert.False(a.Counted));
        Assert.All(ended.Steps, s => Assert.Equal(Runs.Artifact($"output of {s.Uses} at {s.Position}", "onnx"), s.Outputs.Single()));
        Assert.Single(ended.Events, e => e.Type == "io.tinymlaas.run.succeeded.v1");
        Assert.Equal(Enumerable.Range(1, ended.Events.Count).Select(i => (long)i), ended.Events.Select(e => e.Sequence).Order());
    }

    [Fact]
    public async Task A_step_under_which_the_process_dies_each_time_fails_at_the_limit()
    {
        var run = Runs.Of("compiler/fuse");
        static void Twice(Dictionary<string, string?> s) => s["Orchestrator:MaxDeaths"] = "2";
        await using (var first = await OrchestratorHost.StartAsync(_folder.Path, Twice))
            await BringToAsync(first, run, "claimed");
        await using (var second = await OrchestratorHost.StartAsync(_folder.Path, Twice))
        {
            // An offer that nobody had claimed is no death of the step.
            await second.AnnounceAsync("compiler", 1, "compiler/fuse");
            await second.OfferAsync();
        }
        await using (var third = await OrchestratorHost.StartAsync(_folder.Path, Twice))
        {
            await third.AnnounceAsync("compiler", 1, "compiler/fuse");
            await third.ClaimAsync(await third.OfferAsync());
        }

        await using var last = await OrchestratorHost.StartAsync(_folder.Path, Twice);
        await last.UntilAsync(run.RunId, r => r.PublicState == RunStates.Failed);
        var ended = await last.ReadAsync(run.RunId);
        Assert.Equal(("process-died", true), (ended.Failure!.Code, ended.Failure.Retryable));
        Assert.Contains("died 2 times while compiler/fuse ran", ended.Failure.Message, StringComparison.Ordinal);
        Assert.Equal(3, ended.Steps[0].Attempts.Count);
        Assert.Equal(Enumerable.Range(1, ended.Events.Count).Select(i => (long)i), ended.Events.Select(e => e.Sequence).Order());
    }

    [Fact]
    public async Task Where_workers_live_elsewhere_a_restart_leaves_their_leases_alone()
    {
        var run = Runs.Of("compiler/fuse");
        static void Apart(Dictionary<string, string?> s) => s["Orchestrator:WorkersShareProcess"] = "false";
        StepOffer? held;
        await using (var first = await OrchestratorHost.StartAsync(_folder.Path, Apart))
            held = await BringToAsync(first, run, "claimed");

        await using var second = await OrchestratorHost.StartAsync(_folder.Path, Apart);
        Assert.Equal(HeartbeatVerdicts.Continue, await second.BeatAsync(held!));
        Assert.IsType<AttemptCommitted>(await second.CompleteAsync(held!));
    }

    private static async Task<StepOffer?> BringToAsync(OrchestratorHost host, SubmitRun run, string moment)
    {
        await host.SubmitAsync(run);
        if (moment == "submitted")
            return null;
        await host.AnnounceAsync("compiler", 1, "compiler/fuse", "compiler/quantize");
        var offer = await host.OfferAsync();
        if (moment == "offered")
            return offer;
        await host.ClaimAsync(offer);
        switch (moment)
        {
            case "progressed":
                await host.BeatAsync(offer);
                break;
            case "cancelling":
                await host.CancelAsync(run.RunId);
                break;
            case "first committed" or "second claimed":
                await host.CompleteAsync(offer);
                offer = await host.OfferAsync();
                if (moment == "second claimed")
                    await host.ClaimAsync(offer);
                break;
        }
        return offer;
    }
}
