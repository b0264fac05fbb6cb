using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
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

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task A_tenant_with_a_thousand_runs_does_not_hold_up_one_with_ten(int slots)
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await using (var scope = host.Services.CreateAsyncScope())
        {
            var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
            foreach (var (tenant, count) in new[] { ("busy", 1000), ("small", 10) })
            {
                for (var i = 0; i < count; i++)
                {
                    // All of the busy one's are older.
                    var run = PipelineRun.From(Runs.Of("compiler/fuse") with { Tenant = tenant, AcceptedAt = host.Time.GetUtcNow() + TimeSpan.FromSeconds(tenant == "busy" ? i : 2000 + i) });
                    run.CurrentState = "Accepted";
                    run.Accept(host.Time.GetUtcNow(), new OrchestratorOptions());
                    database.Add(run);
                }
            }
            await database.SaveChangesAsync(TestContext.Current.CancellationToken);
        }

        await host.AnnounceAsync("compiler", slots, "compiler/fuse");
        var order = new List<string>();
        var held = new Queue<StepOffer>();
        while (order.Count < 21)
        {
            held.Enqueue(await host.OfferAsync());
            order.Add(held.Last().Tenant);
            if (held.Count < slots)
                continue;
            var oldest = held.Dequeue();
            await host.ClaimAsync(oldest);
            await host.CompleteAsync(oldest);
        }

        Assert.Equal(10, order.Count(t => t == "small"));
        // Turn by turn, as long as both want something: never more than two in a row of one of them.
        Assert.DoesNotContain(order.Take(18).Chunk(3), three => three.Distinct().Count() == 1);
        Assert.Equal("busy", order[0]);
    }

    [Fact]
    public async Task Priority_goes_before_the_share_of_a_tenant_and_a_smaller_share_before_age()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        SubmitRun New(string tenant, int priority, int age) => Runs.Of("compiler/fuse") with { Tenant = tenant, Priority = priority, AcceptedAt = host.Time.GetUtcNow() - TimeSpan.FromMinutes(age) };
        SubmitRun[] runs = [New("a", 0, 9), New("a", 0, 8), New("a", 5, 1), New("a", 5, 2), New("b", 0, 3)];
        foreach (var run in runs)
            await host.SubmitAsync(run);

        await host.AnnounceAsync("compiler", 4, "compiler/fuse");
        var order = new List<Guid>();
        for (var i = 0; i < 4; i++)
            order.Add((await host.OfferAsync()).RunId);

        Assert.Equal([runs[3].RunId, runs[2].RunId, runs[4].RunId, runs[0].RunId], order);
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
