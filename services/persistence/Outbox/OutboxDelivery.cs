using System.Collections.Concurrent;
using MassTransit;
using MassTransit.Middleware;
using MassTransit.Serialization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Persistence.Outbox;

/// <summary>Times of the outbox.</summary>
internal static class OutboxDelivery
{
    /// <summary>For so long a row belongs to whoever wrote it; after that it is swept.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    /// <summary>Inbox rows are kept longer than any broker redelivers.</summary>
    public static readonly TimeSpan Retention = TimeSpan.FromDays(7);
}

/// <summary>
/// Sends what is due and was not sent by whoever wrote it: after a crash, after trouble with the broker, and what was written outside of a handler. Also
/// removes what has left, many rows a transaction, and inbox rows that nobody needs any more.
/// </summary>
internal sealed class OutboxDelivery<TContext>(
    IServiceScopeFactory scopes, WriteTransactions<TContext> transactions, IBus bus, Loops loops, TimeProvider time, ILogger<OutboxDelivery<TContext>> log) : BackgroundService
    where TContext : ServiceDbContext
{
    private const int Batch = 100;
    private const int RemoveBatch = 500;
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan SendLimit = TimeSpan.FromSeconds(10);

    /// <summary>For so long a row belongs to the sweeper that took it.</summary>
    private static readonly TimeSpan Hold = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan CleanEvery = TimeSpan.FromHours(1);

    /// <summary>Rows to remove gather for so long, and are far from being due again after it.</summary>
    private static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(100);

    private readonly ConcurrentQueue<Guid> _left = new();
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly SemaphoreSlim _anyLeft = new(0, 1);
    private readonly Loop _loop = loops.Add(ServiceOf(scopes), "outbox", IdlePause.LongestOf(Every));
    private long? _cleaned;

    /// <summary>Something is due.</summary>
    public void Wake() => Release(_wake);

    /// <summary>These have left; their rows can go. Should the process end before, they leave once more with the same ids.</summary>
    public void Forget(IEnumerable<Guid> messages)
    {
        var any = false;
        foreach (var message in messages)
        {
            _left.Enqueue(message);
            any = true;
        }
        if (any)
            Release(_anyLeft);
    }

    public override void Dispose()
    {
        _wake.Dispose();
        _anyLeft.Dispose();
        base.Dispose();
    }

    /// <summary>Sends what is due now; how many have left.</summary>
    public async Task<int> SweepAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<TContext>();
        var sent = 0;
        while (await TakeAsync(database, cancellation) is { Count: > 0 } due)
        {
            foreach (var message in due)
            {
                if (message.ExpiresAt is null || message.ExpiresAt > time.GetUtcNow())
                    await SendAsync(message, cancellation);
                _loop.Pass();
                _left.Enqueue(message.MessageId);
                sent++;
            }
            await RemoveAsync(cancellation);
        }
        return sent;
    }

    /// <summary>Removes the rows of what has left.</summary>
    public async Task RemoveAsync(CancellationToken cancellation)
    {
        while (!_left.IsEmpty)
        {
            var gone = new List<Guid>();
            while (gone.Count < RemoveBatch && _left.TryDequeue(out var message))
                gone.Add(message);
            try
            {
                await using var scope = scopes.CreateAsyncScope();
                var database = scope.ServiceProvider.GetRequiredService<TContext>();
                await using var transaction = await transactions.BeginAsync(database, cancellation);
                // Should a power cut undo this, they leave once more.
                if (database.Database.IsNpgsql())
                    await database.Database.ExecuteSqlRawAsync("SET LOCAL synchronous_commit = off", cancellation);
                await database.Set<OutboxMessage>().Where(m => gone.Contains(m.MessageId)).ExecuteDeleteAsync(cancellation);
                await transaction.CommitAsync(cancellation);
            }
            catch
            {
                foreach (var message in gone)
                    _left.Enqueue(message);
                throw;
            }
        }
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(SweepAlwaysAsync(stoppingToken), RemoveAlwaysAsync(stoppingToken));

    private async Task RemoveAlwaysAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await _anyLeft.WaitAsync(stoppingToken);
                // By the machine's clock: nothing but the size of a transaction depends on it.
                await Task.Delay(Gather, TimeProvider.System, stoppingToken);
                await RemoveAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning(error, "Rows of what has left could not be removed from the outbox yet.");
                Release(_anyLeft);
                await PauseAsync(stoppingToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task SweepAlwaysAsync(CancellationToken stoppingToken)
    {
        var pause = new IdlePause(Every);
        var busy = true;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                // What has left must not look due, however long ago it left by the clock.
                await RemoveAsync(stoppingToken);
                busy = await SweepAsync(stoppingToken) > 0 || busy;
                await CleanAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning(error, "The outbox could not be swept; what is due stays due.");
                // Whoever wakes it up cannot help now.
                await PauseAsync(stoppingToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            _loop.Pass();
            busy = await WaitAsync(pause.After(busy), stoppingToken);
        }
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        try
        {
            await RemoveAsync(cancellationToken);
        }
        catch (Exception error)
        {
            log.LogWarning(error, "Rows of the outbox stay and leave once more at the next start.");
        }
    }

    /// <summary>Takes the oldest rows that are due. The locks end with the transaction: the broker may be slow, and until the hold is over nobody else takes them.</summary>
    private async Task<List<OutboxMessage>> TakeAsync(TContext database, CancellationToken cancellation)
    {
        var now = time.GetUtcNow();
        // The look costs nothing when there is nothing to do, which is nearly always.
        if (!await database.Set<OutboxMessage>().AnyAsync(m => m.DueAt <= now, cancellation))
            return [];
        await using var transaction = await transactions.BeginAsync(database, cancellation);
        var due = database.Database.IsNpgsql()
            ? database.Set<OutboxMessage>().FromSqlRaw(OutboxSql.SelectDue(database), now.UtcTicks, Batch)
            : database.Set<OutboxMessage>().Where(m => m.DueAt <= now).OrderBy(m => m.DueAt).ThenBy(m => m.Position).Take(Batch);
        var taken = await due.AsNoTracking().ToListAsync(cancellation);
        var ids = taken.Select(m => m.MessageId).ToList();
        var until = now + Hold;
        await database.Set<OutboxMessage>().Where(m => ids.Contains(m.MessageId)).ExecuteUpdateAsync(set => set.SetProperty(m => m.DueAt, until), cancellation);
        await transaction.CommitAsync(cancellation);
        return taken;
    }

    private async Task SendAsync(OutboxMessage message, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(SendLimit);
        var destination = new Uri(message.Destination);
        var endpoint = await bus.GetSendEndpoint(destination);
        await endpoint.Send(new SerializedMessageBody(), new OutboxMessageSendPipe(message, destination), limit.Token);
    }

    private async Task CleanAsync(CancellationToken cancellation)
    {
        if (_cleaned is { } last && time.GetElapsedTime(last) < CleanEvery)
            return;
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<TContext>();
        if (database.Model.FindEntityType(typeof(InboxMessage)) is not null)
        {
            var oldest = time.GetUtcNow() - OutboxDelivery.Retention;
            await database.Set<InboxMessage>().Where(m => m.ConsumedAt < oldest).ExecuteDeleteAsync(cancellation);
        }
        _cleaned = time.GetTimestamp();
    }

    private async Task<bool> WaitAsync(TimeSpan most, CancellationToken cancellation)
    {
        using var timeout = new CancellationTokenSource(most, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellation);
        try
        {
            await _wake.WaitAsync(either.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            // Time to look, or the end.
            return false;
        }
    }

    // A schema is the service's name as databases write it.
    private static string ServiceOf(IServiceScopeFactory scopes)
    {
        using var scope = scopes.CreateScope();
        return scope.ServiceProvider.GetRequiredService<TContext>().Schema.Replace('_', '-');
    }

    private static void Release(SemaphoreSlim signal)
    {
        try
        {
            signal.Release();
        }
        catch (SemaphoreFullException)
        {
            // Whoever waits is awake and will look again.
        }
    }

    private async Task PauseAsync(CancellationToken cancellation)
    {
        try
        {
            await Task.Delay(Every, time, cancellation);
        }
        catch (OperationCanceledException)
        {
        }
    }
}
