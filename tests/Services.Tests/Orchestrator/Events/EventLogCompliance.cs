using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Orchestrator.Events;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator.Events;

/// <summary>What the log of all events owes to its readers, whatever database is below it.</summary>
public abstract class EventLogCompliance : IDisposable
{
    private protected readonly TemporaryFolder Folder = new();

    private protected static readonly EventFilter All = new(Tenants.Default, null, []);

    private protected static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        Folder.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected abstract Task<OrchestratorHost> StartAsync();

    [Fact]
    public async Task Every_event_gets_the_next_position_in_the_order_of_its_runs_log()
    {
        await using var host = await StartAsync();
        await host.AnnounceAsync("compiler", 2, "compiler/fuse");
        var runs = Enumerable.Range(0, 5).Select(_ => Runs.Of("compiler/fuse", "compiler/fuse")).ToList();
        await Task.WhenAll(runs.Select(host.SubmitAsync));
        for (var i = 0; i < 10; i++)
            await host.ToEndAsync();

        // Accepted, started, ended; offered, started, succeeded and stored twice.
        var events = await FollowAsync(host, 5 * 11);

        Assert.Equal(Enumerable.Range(1, 55).Select(i => $"{i}"), events.Select(e => e.Position));
        foreach (var run in runs)
            Assert.Equal(Enumerable.Range(1, 11).Select(i => $"{run.RunId}:{i}"), events.Where(e => e.Id.StartsWith($"{run.RunId}", StringComparison.Ordinal)).Select(e => e.Id));
    }

    [Fact]
    public async Task Writers_that_commit_in_any_order_and_several_who_give_positions_leave_no_gap_to_a_reader()
    {
        const int Writers = 12, Transactions = 15;
        await using var host = await StartAsync();
        var runs = Enumerable.Range(0, Writers).Select(_ => Runs.Of("compiler/fuse")).ToList();
        foreach (var run in runs)
            await host.SubmitAsync(run);
        using var done = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var assigners = Enumerable.Range(0, 3).Select(_ => Task.Run(
            async () =>
            {
                var positions = Positions(host);
                while (!done.IsCancellationRequested)
                {
                    await positions.AssignAsync(Cancellation);
                    await Task.Delay(1, Cancellation);
                }
            },
            Cancellation)).ToList();
        var follower = FollowAsync(host, Writers * (1 + 2 * Transactions));

        await Task.WhenAll(runs.Select((run, writer) => Task.Run(
            async () =>
            {
                var random = new Random(writer);
                for (var i = 0; i < Transactions; i++)
                {
                    await using var writing = await Writing.BeginAsync(host, run.RunId, 2 + 2 * i, 2);
                    await Task.Delay(random.Next(8), Cancellation);
                    await writing.CommitAsync();
                }
            },
            Cancellation)));
        var seen = await follower;
        await done.CancelAsync();
        await Task.WhenAll(assigners);

        Assert.Equal(Enumerable.Range(1, seen.Count).Select(i => $"{i}"), seen.Select(e => e.Position));
        Assert.All(runs, run => Assert.Equal(
            Enumerable.Range(1, 1 + 2 * Transactions).Select(i => CloudEvent.WriteSequence(i)), seen.Where(e => e.Subject == $"runs/{run.RunId}").Select(e => e.Sequence)));
    }

    [Fact]
    public async Task What_is_written_is_not_read_before_it_has_its_position()
    {
        await using var host = await StartAsync();
        var run = Runs.Of("compiler/fuse");
        await host.SubmitAsync(run);
        var known = (await FollowAsync(host, 1)).Count;

        await using (var writing = await Writing.BeginAsync(host, run.RunId, 2, 1))
        {
            // Rolled back.
        }
        var page = await ReadAsync(host, known);

        Assert.Equal((0, known), (page.Items.Count, page.Position));
    }

    private protected static EventPositions Positions(OrchestratorHost host) => new(
        host.Services.GetRequiredService<IServiceScopeFactory>(), host.Services.GetRequiredService<WriteTransactions<OrchestratorDbContext>>(), new EventSignals(),
        host.Services.GetRequiredService<EventReaders>(), new Loops(TimeProvider.System), TimeProvider.System, NullLogger<EventPositions>.Instance);

    private protected static async Task<EventPage> ReadAsync(OrchestratorHost host, long after, int size = 100)
    {
        await using var scope = host.Services.CreateAsyncScope();
        return await EventLog.ReadAsync(scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>(), All, after, size, Cancellation);
    }

    /// <summary>Reads as a subscriber does who remembers nothing but how far it has come.</summary>
    private protected static async Task<List<CloudEvent>> FollowAsync(OrchestratorHost host, int count)
    {
        var seen = new List<CloudEvent>();
        var after = 0L;
        await OrchestratorHost.UntilAsync(async () =>
        {
            var page = await ReadAsync(host, after, size: 7);
            seen.AddRange(page.Items);
            after = page.Position;
            return seen.Count >= count;
        });
        return seen;
    }

    /// <summary>A transaction that has written events of a run and is not committed.</summary>
    private protected sealed class Writing : IAsyncDisposable
    {
        private readonly AsyncServiceScope _scope;
        private readonly WriteTransaction _transaction;

        private Writing(AsyncServiceScope scope, WriteTransaction transaction) => (_scope, _transaction) = (scope, transaction);

        public static async Task<Writing> BeginAsync(OrchestratorHost host, Guid run, long first, int count)
        {
            var scope = host.Services.CreateAsyncScope();
            var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
            var transaction = await host.Services.GetRequiredService<WriteTransactions<OrchestratorDbContext>>().BeginAsync(database, Cancellation);
            for (var sequence = first; sequence < first + count; sequence++)
                database.Events.Add(new RunEvent { RunId = run, Sequence = sequence, Tenant = Tenants.Default, Type = EventTypes.TypeOf("run.started"), At = host.Time.GetUtcNow(), Data = "{}" });
            await database.SaveChangesAsync(Cancellation);
            return new Writing(scope, transaction);
        }

        public Task CommitAsync() => _transaction.CommitAsync(Cancellation);

        public async ValueTask DisposeAsync()
        {
            await _transaction.DisposeAsync();
            await _scope.DisposeAsync();
        }
    }
}
