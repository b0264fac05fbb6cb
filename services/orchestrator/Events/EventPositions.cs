using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator.Events;

/// <summary>
/// Gives committed events their place among all events. A number that is drawn while an event is written would not do: of two transactions at once the one with the
/// higher number may commit first, and a reader that has come as far as that one would never look for the other. So numbers are given after the commit, by one
/// at a time, and become visible in their order and without a gap: who has read up to a position has read all before it.
/// </summary>
internal sealed class EventPositions(
    IServiceScopeFactory scopes, WriteTransactions<OrchestratorDbContext> transactions, EventSignals signals, EventReaders readers, Loops loops, TimeProvider time,
    ILogger<EventPositions> log) : BackgroundService
{
    private const int Batch = 1000;
    private static readonly TimeSpan FallbackPoll = TimeSpan.FromSeconds(1);

    /// <summary>What is committed soon after shares the next transaction.</summary>
    private static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(25);

    private readonly IdlePause _pause = new(FallbackPoll);
    private readonly Loop _loop = loops.Add(OrchestratorModule.ServiceName, "event-positions", IdlePause.LongestOf(FallbackPoll));
    private long _known = -1;

    /// <summary>Gives positions to what is committed now; how many were given.</summary>
    public async Task<int> AssignAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        // The look costs nothing when there is nothing to do.
        if (!await database.Events.AnyAsync(e => e.Position == null, cancellation))
        {
            Tell(await database.ReadCursorAsync(EventCursor.Newest, cancellation));
            return 0;
        }
        await using var transaction = await transactions.BeginAsync(database, cancellation);
        var newest = await database.LockCursorAsync(EventCursor.Newest, cancellation);
        // A statement of its own sees all that was committed before the lock was had.
        var given = await database.Database.ExecuteSqlRawAsync(EventSql.GivePositions(database), [newest.Position, Batch], cancellation);
        newest.Position += given;
        await database.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        Tell(newest.Position);
        return given;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var (committed, known, busy) = (signals.Committed.Next, _known, true);
            try
            {
                int given;
                while ((given = await AssignAsync(stoppingToken)) == Batch)
                    _loop.Pass();
                // By the machine's clock: nothing but the size of a transaction depends on it.
                if (given > 0)
                    await Task.Delay(Gather, TimeProvider.System, stoppingToken);
                // Readers here wait for what is committed anywhere.
                busy = _known != known || readers.Any;
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning(error, "Events could not be given positions; they get them later.");
                // Whoever wakes it up cannot help now.
                committed = Task.Delay(FallbackPoll, time, stoppingToken);
            }
            _loop.Pass();
            await Waiting.ForAsync(committed, _pause.After(busy), time, stoppingToken);
        }
    }

    private void Tell(long newest)
    {
        if (Interlocked.Exchange(ref _known, newest) != newest)
            signals.Positioned.Set();
    }
}
