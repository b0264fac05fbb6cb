using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class DispatcherTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Offers_the_higher_priority_first_and_then_the_older_run()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var submitted = new (int Priority, int Age)[] { (0, 3), (0, 9), (10, 1), (-5, 20), (10, 2) }.Select(p => Runs.Of("compiler/fuse") with
        {
            Priority = p.Priority,
            AcceptedAt = host.Time.GetUtcNow() - TimeSpan.FromMinutes(p.Age),
        }).ToList();
        foreach (var run in submitted)
            await host.SubmitAsync(run);

        var start = host.Time.GetUtcNow();
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        var order = new List<Guid>();
        for (var i = 0; i < submitted.Count; i++)
        {
            var offer = await host.OfferAsync();
            order.Add(offer.RunId);
            // The next offer is made when the slot is free, and that is after this.
            host.Time.Advance(TimeSpan.FromSeconds(1));
            await host.ClaimAsync(offer);
            await host.CompleteAsync(offer);
        }

        Assert.Equal([submitted[4].RunId, submitted[2].RunId, submitted[1].RunId, submitted[0].RunId, submitted[3].RunId], order);
        var offered = await Task.WhenAll(order.Select(async run => (await host.ReadAsync(run)).Steps.Single().Attempts.Single().OfferedAt));
        Assert.Equal(Enumerable.Range(0, order.Count).Select(i => start + TimeSpan.FromSeconds(i)), offered);
    }

    [Fact]
    public async Task Offers_no_more_than_there_are_slots_and_says_why_the_rest_waits()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await host.AnnounceAsync("compiler", 2, "compiler/fuse");
        SubmitRun[] runs = [Runs.Of("compiler/fuse", "compiler/fuse"), Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse")];
        foreach (var run in runs)
            await host.SubmitAsync(run);
        StepOffer[] offers = [await host.OfferAsync(), await host.OfferAsync()];

        var waiting = runs.Single(r => offers.All(o => o.RunId != r.RunId));
        Assert.Equal("all 2 slots of compiler are busy", (await host.GetAsync(waiting.RunId)).Steps[0].WaitingFor);
        Assert.Equal("step 1 has not finished", (await host.GetAsync(runs[0].RunId)).Steps[1].WaitingFor);
        await host.ClaimAsync(offers[1]);
        Assert.False(host.HasOffer());
        await host.CompleteAsync(offers[1]);
        var next = await host.OfferAsync();
        Assert.Contains(next.RunId, runs.Select(r => r.RunId));
        Assert.False(host.HasOffer());
    }

    [Fact]
    public async Task A_pool_is_gone_when_it_is_silent_and_steps_say_so()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var run = Runs.Of("installer/bundle");
        await host.AnnounceAsync("installer", 1, "installer/bundle");
        host.Time.Advance(TimeSpan.FromSeconds(16));
        await host.SubmitAsync(run);
        Assert.Equal("no installer worker is announced", (await host.GetAsync(run.RunId)).Steps[0].WaitingFor);
        Assert.False(host.HasOffer("installer"));

        await host.AnnounceAsync("installer", 1, "installer/bundle");
        Assert.Equal(run.RunId, (await host.OfferAsync("installer")).RunId);
    }

    [Fact]
    public async Task A_step_of_a_version_that_nobody_has_waits_without_holding_up_the_others()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        var old = Runs.Of("compiler/fuse") with { Priority = 100, Steps = [new ResolvedStep { Version = "0", Worker = "compiler", Produces = "onnx" }] };
        var current = Runs.Of("compiler/fuse");
        await host.SubmitAsync(old);
        await host.SubmitAsync(current);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");

        Assert.Equal(current.RunId, (await host.OfferAsync()).RunId);
        Assert.Equal("no announced compiler worker has compiler/fuse 0", (await host.GetAsync(old.RunId)).Steps[0].WaitingFor);
    }

    [Fact]
    public async Task A_worker_that_leaves_gives_its_attempts_back_at_once_and_uncounted()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        await host.ClaimAsync(await host.OfferAsync());
        await host.Bus.Publish(new Contracts.Transformers.WorkerAnnounced
        {
            Worker = "compiler", Instance = "compiler-1", Queue = "v1.offer.any.compiler", Slots = 1, Transformers = [], At = host.Time.GetUtcNow(), Leaving = true,
        }, TestContext.Current.CancellationToken);

        var stored = await host.UntilAsync(run.RunId, r => r.Steps.Single().State == StepStates.Pending);
        Assert.Equal((AttemptStates.Lost, false), (stored.Steps.Single().Attempts.Single().State, stored.Steps.Single().Attempts.Single().Counted));
        Assert.Equal("no compiler worker is announced", (await host.GetAsync(run.RunId)).Steps[0].WaitingFor);
    }
}
