using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using RabbitMQ.Client;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator.Events;

/// <summary>
/// Publishes the log to the broker: CloudEvents in binary mode, in order per run, each until the broker has confirmed it. How far it has come is a row, whose lock makes one
/// publisher at a time of any number of processes. So a broker that is away delays events, and a process that dies repeats some.
/// </summary>
internal sealed class EventPublisher(
    IServiceScopeFactory scopes, EventSignals signals, IOptions<OrchestratorOptions> options, Loops loops, TimeProvider time, ILogger<EventPublisher> log, BrokerConnections? broker = null)
    : BackgroundService
{
    private const int Batch = 100;
    private static readonly TimeSpan FallbackPoll = TimeSpan.FromSeconds(1);
    private readonly IdlePause _pause = new(FallbackPoll);

    /// <summary>What gets its position soon after shares the next transaction.</summary>
    private static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(25);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ConfirmLimit = TimeSpan.FromSeconds(10);

    // A broker that has lost everything is given its time.
    private readonly Loop? _loop = broker is null ? null : loops.Add(OrchestratorModule.ServiceName, "event-publisher", IdlePause.LongestOf(FallbackPoll) + TimeSpan.FromSeconds(options.Value.RepublishAfterSeconds));
    private IConnection? _connection;
    private IChannel? _channel;
    private bool _failing;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (broker is null)
            return;
        while (!stoppingToken.IsCancellationRequested)
        {
            var (positioned, busy) = (signals.Positioned.Next, true);
            try
            {
                int published;
                while ((published = await PublishAsync(stoppingToken)) == Batch)
                    _loop?.Pass();
                // By the machine's clock: nothing but the size of a transaction depends on it.
                busy = published > 0;
                if (busy)
                    await Task.Delay(Gather, TimeProvider.System, stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                if (!_failing)
                    log.LogWarning(error, "Events cannot be published; they are when the broker and the database are there again.");
                _failing = true;
                await CloseAsync();
                positioned = Task.Delay(Pause, time, stoppingToken);
            }
            _loop?.Pass();
            await Waiting.ForAsync(positioned, _pause.After(busy), time, stoppingToken);
        }
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await CloseAsync();
    }

    /// <summary>Publishes what comes next; how many events.</summary>
    private async Task<int> PublishAsync(CancellationToken cancellation)
    {
        var channel = _channel is { IsOpen: true } open ? open : await OpenAsync(cancellation);
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        var newest = await database.ReadCursorAsync(EventCursor.Newest, cancellation);
        if (await database.ReadCursorAsync(EventCursor.Published, cancellation) >= newest)
            return 0;
        // Held while the broker confirms. Only publishers want this row; on SQLite, where there is one process, it would be the lock of everybody.
        await using var transaction = database.Database.IsNpgsql() ? await database.Database.BeginTransactionAsync(cancellation) : null;
        if (await database.TryLockCursorAsync(EventCursor.Published, cancellation) is not { } cursor)
            return 0;
        var events = await database.Events.AsNoTracking()
            .Where(e => e.Position > cursor.Position && e.Position <= newest)
            .OrderBy(e => e.Position).Take(Batch).ToListAsync(cancellation);
        if (events.Count == 0)
            return 0;
        foreach (var wave in Waves(events))
            await Task.WhenAll(wave.Select(e => SendAsync(channel, e, cancellation))).WaitAsync(ConfirmLimit, time, cancellation);
        cursor.Position = events[^1].Position!.Value;
        await database.SaveChangesAsync(cancellation);
        if (transaction is not null)
            await transaction.CommitAsync(cancellation);
        if (_failing)
            log.LogInformation("Events are published again, up to position {Position}", cursor.Position);
        _failing = false;
        return events.Count;
    }

    /// <summary>
    /// The first event of each run, then the second of each, and so on: none is sent before the one before it in its run is confirmed. Else a broker that lost or refused one could
    /// still have the next.
    /// </summary>
    private static IEnumerable<IEnumerable<RunEvent>> Waves(IReadOnlyList<RunEvent> events) => events
        .GroupBy(e => e.RunId)
        .SelectMany(run => run.Select((entry, place) => (Entry: entry, Place: place)))
        .GroupBy(e => e.Place, e => e.Entry)
        .OrderBy(wave => wave.Key);

    private static async Task SendAsync(IChannel channel, RunEvent entry, CancellationToken cancellation)
    {
        var shown = EventLog.Show(entry);
        var properties = new BasicProperties
        {
            ContentType = shown.DataContentType,
            DeliveryMode = DeliveryModes.Persistent,
            MessageId = shown.Id,
            Type = shown.Type,
            Headers = new Dictionary<string, object?>
            {
                ["cloudEvents:specversion"] = shown.SpecVersion,
                ["cloudEvents:id"] = shown.Id,
                ["cloudEvents:source"] = shown.Source,
                ["cloudEvents:type"] = shown.Type,
                ["cloudEvents:subject"] = shown.Subject,
                ["cloudEvents:time"] = shown.Time.ToString("O"),
                ["cloudEvents:sequence"] = shown.Sequence,
                ["cloudEvents:position"] = shown.Position,
            },
        };
        // Returns when the broker has confirmed; that nobody wants the event is no error.
        await channel.BasicPublishAsync(EventExchange.Name, $"{entry.Tenant}.{EventTypes.Find(entry.Type)}", mandatory: false, properties, Encoding.UTF8.GetBytes(entry.Data), cancellation);
    }

    private async Task<IChannel> OpenAsync(CancellationToken cancellation)
    {
        await CloseAsync();
        _connection = await broker!.OpenAsync("orchestrator events", cancellation);
        var lost = !await EventExchange.ExistsAsync(_connection, cancellation) && await GoBackAsync(cancellation);
        _channel = await _connection.CreateChannelAsync(
            new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true), cancellation);
        await EventExchange.DeclareAsync(_channel, cancellation);
        if (lost)
            await Task.Delay(TimeSpan.FromSeconds(options.Value.RepublishAfterSeconds), time, cancellation);
        return _channel;
    }

    /// <summary>
    /// The broker has lost everything, and with it what it had confirmed and subscribers had not read. The newest events are published again; before the exchange is made again,
    /// since that is how this is known.
    /// </summary>
    private async Task<bool> GoBackAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        await using var transaction = await database.Database.BeginTransactionAsync(cancellation);
        var cursor = await database.LockCursorAsync(EventCursor.Published, cancellation);
        var published = cursor.Position;
        if (published == 0)
            return false;
        var since = time.GetUtcNow() - TimeSpan.FromMinutes(options.Value.RepublishMinutes);
        cursor.Position = (await database.Events.Where(e => e.Position <= published && e.At >= since).MinAsync(e => e.Position, cancellation) ?? (published + 1)) - 1;
        await database.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        log.LogWarning(
            "The broker has lost the exchange {Exchange}, and the queues of subscribers with it. Events from position {From} to {To} are published again in {Seconds} s; who had not read older ones reads them over HTTP.",
            EventExchange.Name, cursor.Position + 1, published, options.Value.RepublishAfterSeconds);
        return true;
    }

    private async Task CloseAsync()
    {
        var (channel, connection) = (_channel, _connection);
        (_channel, _connection) = (null, null);
        try
        {
            if (channel is not null)
                await channel.DisposeAsync();
            if (connection is not null)
                await connection.DisposeAsync();
        }
        catch (Exception error)
        {
            log.LogDebug(error, "A connection to the broker did not close in order.");
        }
    }
}
