using System.Collections.Concurrent;
using MassTransit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence.Outbox;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>What inbox and outbox owe to handlers and to whoever gets their messages, whatever database is below them.</summary>
public abstract class OutboxCompliance : IDisposable
{
    // A queue that the host reads.
    private static readonly Uri Outside = new("exchange:outside");

    private protected readonly TemporaryFolder Folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        Folder.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected abstract Task<OrchestratorHost> StartAsync();

    [Fact]
    public async Task A_message_that_comes_twenty_times_is_handled_once()
    {
        await using var host = await StartAsync();
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        await host.SubmitAsync(Runs.Of("compiler/fuse"));
        var offer = await host.OfferAsync();
        await host.ClaimAsync(offer);
        var consumed = new Consumed();
        using var handle = host.Services.GetRequiredService<IBusControl>().ConnectConsumeObserver(consumed);
        // A beat appends its lines each time it is handled, so nothing but the inbox keeps it from doing so twice.
        var beat = new Heartbeat
        {
            Tenant = offer.Tenant, RunId = offer.RunId, Step = offer.Step, Attempt = offer.Attempt, Fence = offer.Fence, Worker = "compiler-1", Progress = 0.5, Log = ["once"],
        };
        var id = NewId.NextGuid();

        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => host.Bus.Publish(beat, c => c.MessageId = id, Cancellation)));

        await OrchestratorHost.UntilAsync(() => Task.FromResult(consumed.Of<Heartbeat>() == 20));
        Assert.Equal(["once"], (await host.ReadAsync(offer.RunId)).Log.Select(l => l.Text));
        await using var scope = host.Services.CreateAsyncScope();
        Assert.Equal(1, await scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().Set<InboxMessage>().CountAsync(m => m.MessageId == id, Cancellation));
    }

    [Fact]
    public async Task A_handler_that_fails_leaves_no_inbox_row_so_its_message_is_handled_when_it_comes_again()
    {
        await using var host = await StartAsync();
        // Nothing was resolved for the second step: accepting the run fails.
        var run = Runs.Of("compiler/fuse", "compiler/quantize");
        var id = NewId.NextGuid();
        await Assert.ThrowsAsync<RequestFaultException>(() => SubmitAsync(run with { Steps = [run.Steps[0]] }));

        await SubmitAsync(run);

        Assert.Equal(2, (await host.ReadAsync(run.RunId)).Steps.Count);

        Task SubmitAsync(Contracts.Pipelines.SubmitRun command) => host.Bus.CreateRequestClient<Contracts.Pipelines.SubmitRun>(RequestTimeout.After(s: 120))
            .GetResponse<Contracts.Pipelines.RunAccepted>(command, c => c.UseExecute(x => x.MessageId = id), Cancellation);
    }

    [Fact]
    public async Task What_has_left_is_gone_from_the_outbox()
    {
        await using var host = await StartAsync();
        await host.AnnounceAsync("compiler", 1, "compiler/fuse");
        await host.SubmitAsync(Runs.Of("compiler/fuse"));
        await host.ToEndAsync();

        await OrchestratorHost.UntilAsync(async () => await CountAsync(host) == 0);
    }

    [Fact]
    public async Task What_is_due_leaves_once_and_what_is_not_stays()
    {
        await using var host = await StartAsync();
        var delivery = host.Services.GetRequiredService<OutboxDelivery<OrchestratorDbContext>>();
        var (due, later) = (Guid.NewGuid(), Guid.NewGuid());
        await AddAsync(host, [due, later], async database =>
        {
            var until = host.Time.GetUtcNow() + TimeSpan.FromSeconds(1);
            await database.Set<OutboxMessage>().Where(m => m.MessageId == later).ExecuteUpdateAsync(set => set.SetProperty(m => m.DueAt, until), Cancellation);
        });

        // The host's own sweeper may be faster.
        await delivery.SweepAsync(Cancellation);
        Assert.Equal(due, await NextAsync(host));
        await OrchestratorHost.UntilAsync(async () => await CountAsync(host) == 1);
        Assert.Equal(0, await delivery.SweepAsync(Cancellation));

        // The sweeper of the host looks by the clock too; it may have been looking just now, and then waits for the next second.
        var next = NextAsync(host);
        while (!next.IsCompleted)
        {
            host.Time.Advance(TimeSpan.FromSeconds(2));
            await Task.WhenAny(next, Task.Delay(50, Cancellation));
        }
        Assert.Equal(later, await next);
        await OrchestratorHost.UntilAsync(async () => await CountAsync(host) == 0);
    }

    [Fact]
    public async Task Sweepers_that_race_send_each_message_once()
    {
        const int Messages = 500;
        await using var host = await StartAsync();
        var delivery = host.Services.GetRequiredService<OutboxDelivery<OrchestratorDbContext>>();
        var ids = Enumerable.Range(0, Messages).Select(_ => Guid.NewGuid()).ToList();
        await AddAsync(host, ids);

        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() => delivery.SweepAsync(Cancellation))));

        var got = new List<Guid>();
        while (got.Count < Messages)
            got.Add(await NextAsync(host));
        Assert.Equal(ids.Order(), got.Order());
        await OrchestratorHost.UntilAsync(async () => await CountAsync(host) == 0);
        Assert.False(host.Published.TryRead(out _));
    }

    [Fact]
    public async Task What_is_rolled_back_is_never_sent()
    {
        await using var host = await StartAsync();
        await using (var scope = host.Services.CreateAsyncScope())
        {
            var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
            await using var transaction = await database.Database.BeginTransactionAsync(Cancellation);
            var outbox = scope.ServiceProvider.GetRequiredService<TransactionalOutbox<OrchestratorDbContext>>();
            await outbox.AddAsync(Outside, Guid.NewGuid(), Order(Guid.NewGuid()), Cancellation);
            await database.SaveChangesAsync(Cancellation);
        }
        var kept = Guid.NewGuid();
        await AddAsync(host, [kept]);

        await host.Services.GetRequiredService<OutboxDelivery<OrchestratorDbContext>>().SweepAsync(Cancellation);

        // The first that anyone hears of is the message that was committed.
        Assert.Equal(kept, await NextAsync(host));
    }

    private static async Task AddAsync(OrchestratorHost host, IEnumerable<Guid> ids, Func<OrchestratorDbContext, Task>? beforeCommit = null)
    {
        await using var scope = host.Services.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        await using var transaction = await database.Database.BeginTransactionAsync(Cancellation);
        var outbox = scope.ServiceProvider.GetRequiredService<TransactionalOutbox<OrchestratorDbContext>>();
        foreach (var id in ids)
            await outbox.AddAsync(Outside, id, Order(id), Cancellation);
        await database.SaveChangesAsync(Cancellation);
        if (beforeCommit is not null)
            await beforeCommit(database);
        await transaction.CommitAsync(Cancellation);
    }

    private static CancelAttempt Order(Guid run) => new() { Tenant = Tenants.Default, RunId = run, Step = 1, Attempt = 1, Fence = 1 };

    private static async Task<Guid> NextAsync(OrchestratorHost host)
    {
        using var limit = new CancellationTokenSource(OrchestratorHost.Limit);
        return Assert.IsType<CancelAttempt>(await host.Published.ReadAsync(limit.Token)).RunId;
    }

    private static async Task<int> CountAsync(OrchestratorHost host)
    {
        await using var scope = host.Services.CreateAsyncScope();
        return await scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().Set<OutboxMessage>().CountAsync(Cancellation);
    }

    private sealed class Consumed : IConsumeObserver
    {
        private readonly ConcurrentDictionary<Type, int> _counts = new();

        public int Of<T>() => _counts.GetValueOrDefault(typeof(T));

        public Task PreConsume<T>(ConsumeContext<T> context) where T : class => Task.CompletedTask;

        public Task PostConsume<T>(ConsumeContext<T> context) where T : class
        {
            _counts.AddOrUpdate(typeof(T), 1, (_, count) => count + 1);
            return Task.CompletedTask;
        }

        public Task ConsumeFault<T>(ConsumeContext<T> context, Exception exception) where T : class => PostConsume(context);
    }
}
