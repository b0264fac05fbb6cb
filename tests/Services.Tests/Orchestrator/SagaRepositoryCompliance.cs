using MassTransit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>What the saga repository owes to MassTransit and to the runs, whatever database is below it.</summary>
public abstract class SagaRepositoryCompliance : IDisposable
{
    private protected readonly TemporaryFolder Folder = new();

    public void Dispose()
    {
        Folder.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected abstract Task<OrchestratorHost> StartAsync();

    /// <summary>SQL after which no event can be written.</summary>
    private protected abstract string RefuseEvents { get; }

    /// <summary>SQL after which they can again.</summary>
    private protected abstract string TakeEvents { get; }

    [Fact]
    public async Task Submissions_of_one_run_that_race_make_one_run()
    {
        await using var host = await StartAsync();
        foreach (var run in Enumerable.Range(0, 10).Select(_ => Runs.Of("compiler/fuse", "compiler/quantize")))
        {
            var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => host.SubmitAsync(run)));
            Assert.All(answers, a => Assert.Equal(run.RunId, a.Message.RunId));
            var stored = await host.ReadAsync(run.RunId);
            Assert.Equal((2, 1L), (stored.Steps.Count, stored.Events.Min(e => e.Sequence)));
            Assert.Single(stored.Events, e => e.Type == "io.tinymlaas.run.accepted.v1");
        }
    }

    [Fact]
    public async Task None_of_many_concurrent_updates_is_lost()
    {
        const int Beats = 100;
        await using var host = await StartAsync();
        await host.AnnounceAsync("compiler", 5, "compiler/fuse");
        var offers = new List<StepOffer>();
        for (var i = 0; i < 5; i++)
        {
            await host.SubmitAsync(Runs.Of("compiler/fuse"));
            var offer = await host.OfferAsync();
            await host.ClaimAsync(offer);
            offers.Add(offer);
        }

        // Every beat has another progress and a line, so every one must leave an event and a line.
        await Task.WhenAll(offers.SelectMany(o => Enumerable.Range(1, Beats).Select(i => host.BeatAsync(o, i / (double)Beats, $"activity {i}", log: [$"line {i}"]))));

        foreach (var offer in offers)
        {
            var stored = await host.ReadAsync(offer.RunId);
            Assert.Equal(Beats, stored.Events.Count(e => e.Type == "io.tinymlaas.step.progressed.v1"));
            Assert.Equal(Enumerable.Range(1, Beats).Select(i => $"line {i}").Order(), stored.Log.Select(l => l.Text).Order());
            Assert.Equal(Enumerable.Range(1, stored.Events.Count).Select(i => (long)i), stored.Events.Select(e => e.Sequence).Order());
            Assert.Equal(stored.Events.Count, stored.Sequence);
            Assert.IsType<AttemptCommitted>(await host.CompleteAsync(offer));
        }
    }

    [Fact]
    public async Task Loads_a_run_with_its_steps_and_null_for_none()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse", "compiler/quantize").With(2, """{"bits":4}""");
        await host.SubmitAsync(run);
        await using var scope = host.Services.CreateAsyncScope();
        var repository = scope.ServiceProvider.GetRequiredService<ILoadSagaRepository<PipelineRun>>();

        var loaded = await repository.Load(run.RunId);
        Assert.Equal(("Accepted", 2, 4), (loaded.CurrentState, loaded.Steps.Count, loaded.Step(2)!.With!.Value.GetProperty("bits").GetInt32()));
        Assert.Null(await repository.Load(Guid.NewGuid()));
    }

    [Fact]
    public async Task Queries_runs_by_an_expression()
    {
        await using var host = await StartAsync();
        var (mine, other) = (Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse") with { Tenant = "another" });
        await host.SubmitAsync(mine);
        await host.SubmitAsync(other);
        await using var scope = host.Services.CreateAsyncScope();
        var repository = scope.ServiceProvider.GetRequiredService<IQuerySagaRepository<PipelineRun>>();

        Assert.Equal([other.RunId], await repository.Find(new Query(r => r.Tenant == "another")));
        Assert.Empty(await repository.Find(new Query(r => r.Tenant == "nobody")));
    }

    [Fact]
    public async Task A_message_that_fails_leaves_no_trace_of_its_try()
    {
        await using var host = await StartAsync();
        // The document has a step that nothing was resolved for: accepting it fails after the row was inserted.
        var broken = Runs.Of("compiler/fuse", "compiler/quantize");
        broken = broken with { Steps = [broken.Steps[0]] };

        await Assert.ThrowsAsync<RequestFaultException>(() => host.SubmitAsync(broken));

        await using var scope = host.Services.CreateAsyncScope();
        Assert.Null(await scope.ServiceProvider.GetRequiredService<ILoadSagaRepository<PipelineRun>>().Load(broken.RunId));
        Assert.Equal(1, (await host.SubmitAsync(broken with { Steps = Runs.Of("compiler/fuse", "compiler/quantize").Steps })).Message.Sequence);
        Assert.Equal(2, (await host.ReadAsync(broken.RunId)).Steps.Count);
    }

    [Fact]
    public async Task A_writer_that_read_before_another_one_wrote_is_refused()
    {
        await using var host = await StartAsync();
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var offer = await host.OfferAsync();
        await using var scope = host.Services.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        var old = await database.WholeRuns.SingleAsync(r => r.CorrelationId == run.RunId, TestContext.Current.CancellationToken);
        await host.ClaimAsync(offer);

        old.CancelReason = "decided on rows that have changed";
        await Assert.ThrowsAsync<DbUpdateConcurrencyException>(() => database.SaveChangesAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task What_cannot_be_committed_is_never_told()
    {
        await using var host = await StartAsync();
        var (run, other) = (Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse"));
        await host.SubmitAsync(run);
        await host.SubmitAsync(other);
        await ExecuteAsync(host, RefuseEvents);

        await Assert.ThrowsAsync<DbUpdateException>(() => host.MakeOffersAsync(run.RunId));

        await ExecuteAsync(host, TakeEvents);
        Assert.Equal(other.RunId, Assert.Single(await host.MakeOffersAsync(other.RunId)).RunId);
        // The first that any worker hears of is the offer that was committed.
        Assert.Equal(other.RunId, (await host.OfferAsync()).RunId);
    }

    [Fact]
    public async Task Offers_that_are_made_at_once_are_one_for_each_waiting_step_whoever_makes_them()
    {
        await using var host = await StartAsync();
        var runs = Enumerable.Range(0, 12).Select(_ => Runs.Of("compiler/fuse")).ToList();
        foreach (var run in runs)
            await host.SubmitAsync(run);
        Guid[] all = [.. runs.Select(r => r.RunId)];

        // Two that want the same, in opposite orders: each gets what the other does not have.
        var made = await Task.WhenAll(Task.Run(() => host.MakeOffersAsync(all)), Task.Run(() => host.MakeOffersAsync([.. all.Reverse()])));
        var rest = await host.MakeOffersAsync(all);

        Assert.Equal(all.Order(), made.SelectMany(m => m).Concat(rest).Select(o => o.RunId).Order());
        foreach (var run in all)
            Assert.Single((await host.ReadAsync(run)).Steps.Single().Attempts);
    }

    private static async Task ExecuteAsync(OrchestratorHost host, string sql)
    {
        await using var scope = host.Services.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().Database.ExecuteSqlRawAsync(sql, TestContext.Current.CancellationToken);
    }

    private sealed class Query(System.Linq.Expressions.Expression<Func<PipelineRun, bool>> filter) : ISagaQuery<PipelineRun>
    {
        public System.Linq.Expressions.Expression<Func<PipelineRun, bool>> FilterExpression => filter;

        public Func<PipelineRun, bool> GetFilter() => filter.Compile();
    }
}
