using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Persistence;
using TinyMLaaS.Persistence.Outbox;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>
/// Makes sure that accepted runs reach the orchestrator. Their message leaves through the outbox, but what has left may still be lost with a broker, so the
/// row counts: at start and every few seconds the orchestrator is asked for each run that it has not been seen to know, and one that it does not know
/// although its message has left is sent again. It is the same message, so a second one changes nothing there.
/// </summary>
internal sealed class HandOver(
    IServiceScopeFactory scopes, Loops loops, TimeProvider time, IOptions<PipelineApiOptions> options, ILogger<HandOver> log) : BackgroundService
{
    private const int Batch = 100;

    /// <summary>Where runs are taken on.</summary>
    public static readonly Uri Runs = new("exchange:v1.orchestrator.runs");
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ForgetEvery = TimeSpan.FromMinutes(10);

    // When each was last seen on its way by this process: one that has just left is not sent again at once.
    private readonly ConcurrentDictionary<Guid, long> _sent = new();
    private readonly IdlePause _pause = new(options.Value.HandOverEvery);
    private readonly Loop _loop = loops.Add(PipelineApiModule.ServiceName, "hand-over", IdlePause.LongestOf(options.Value.HandOverEvery));
    private long? _forgotten;

    /// <summary>Runs whose messages are remembered as on their way.</summary>
    public int Remembered => _sent.Count;

    /// <summary>The message of a run is on its way.</summary>
    public void Note(Guid run) => _sent[run] = time.GetTimestamp();

    /// <summary>Sends a run once more, unless its message waits to leave.</summary>
    public async Task SendAgainAsync(AcceptedRunRow row, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var outbox = scope.ServiceProvider.GetRequiredService<TransactionalOutbox<PipelineApiDbContext>>();
        var run = row.Read();
        var message = AcceptedRunRow.MessageOf(run);
        if (await outbox.HoldsAsync(message, cancellation))
            return;
        Note(row.RunId);
        await outbox.AddAsync(Runs, message, run, cancellation);
        try
        {
            await scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().SaveChangesAsync(cancellation);
        }
        catch (DbUpdateException error) when (DatabaseErrors.IsConflict(error))
        {
            // The sweep, here or in another process, had the same thought.
        }
        outbox.Committed();
    }

    /// <summary>Makes sure that a run which is not known to be taken on ends, whether or not its first message arrives; the run as its owner wants it now.</summary>
    public async Task<SubmitRun> CancelAsync(AcceptedRunRow row, CancellationToken cancellation)
    {
        var run = row.Read() with { Cancelled = true };
        await using (var scope = scopes.CreateAsyncScope())
        {
            var database = scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>();
            var stored = await database.AcceptedRuns.SingleAsync(r => r.RunId == row.RunId, cancellation);
            stored.Submission = JsonSerializer.Serialize(run, ContractJson.Options);
            stored.HandedOver = false;
            await database.SaveChangesAsync(cancellation);
            await SendAgainAsync(stored, cancellation);
        }
        return run;
    }

    /// <summary>One look at all rows; how many there are.</summary>
    public async Task<int> SweepAsync(CancellationToken cancellation)
    {
        // Also of runs that another process has seen through meanwhile.
        foreach (var sent in _sent.Where(s => time.GetElapsedTime(s.Value) >= Patience))
            _sent.TryRemove(sent);
        var seen = 0;
        var after = (AcceptedAt: DateTimeOffset.MinValue, RunId: Guid.Empty);
        while (true)
        {
            await using var scope = scopes.CreateAsyncScope();
            var database = scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>();
            var orchestrator = scope.ServiceProvider.GetRequiredService<OrchestratorUpstream>();
            var outbox = scope.ServiceProvider.GetRequiredService<TransactionalOutbox<PipelineApiDbContext>>();
            var rows = await database.AcceptedRuns
                .Where(r => !r.HandedOver && (r.AcceptedAt > after.AcceptedAt || (r.AcceptedAt == after.AcceptedAt && r.RunId.CompareTo(after.RunId) > 0)))
                .OrderBy(r => r.AcceptedAt).ThenBy(r => r.RunId).Take(Batch).ToListAsync(cancellation);
            seen += rows.Count;
            var known = new Dictionary<Guid, string>();
            foreach (var tenant in rows.GroupBy(r => r.Tenant, r => r.RunId))
            {
                foreach (var (run, state) in await orchestrator.StatesAsync(tenant.Key, [.. tenant], cancellation))
                    known[run] = state;
            }
            foreach (var row in rows)
            {
                _loop.Pass();
                var run = row.Read();
                var message = AcceptedRunRow.MessageOf(run);
                // One that is to be cancelled has arrived once it is seen to end.
                if (known.TryGetValue(row.RunId, out var state) && (!run.Cancelled || state == RunStates.Cancelling || RunStates.IsTerminal(state)))
                {
                    row.HandedOver = true;
                    _sent.TryRemove(row.RunId, out _);
                }
                else if (await outbox.HoldsAsync(message, cancellation))
                {
                    Note(row.RunId);
                }
                else if (!_sent.TryGetValue(row.RunId, out var left) || time.GetElapsedTime(left) >= Patience)
                {
                    log.LogInformation("Run {RunId} is not known to the orchestrator although its message has left; it is sent again", row.RunId);
                    Note(row.RunId);
                    await outbox.AddAsync(Runs, message, run, cancellation);
                }
            }
            await database.SaveChangesAsync(cancellation);
            outbox.Committed();
            if (rows.Count < Batch)
                return seen;
            after = (rows[^1].AcceptedAt, rows[^1].RunId);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var busy = true;
            try
            {
                await ForgetKeysAsync(stoppingToken);
                busy = await SweepAsync(stoppingToken) > 0;
            }
            catch (ServiceUnavailableException e)
            {
                log.LogDebug(e, "Accepted runs wait for the orchestrator");
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                // Whatever it is, the rows are still there: the next round tries again.
                log.LogError(e, "Accepted runs could not be swept");
            }
            _loop.Pass();
            try
            {
                await Task.Delay(_pause.After(busy), time, stoppingToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task ForgetKeysAsync(CancellationToken cancellation)
    {
        if (_forgotten is { } last && time.GetElapsedTime(last) < ForgetEvery)
            return;
        var oldest = time.GetUtcNow() - RunAcceptance.KeysKept;
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().IdempotencyKeys.Where(k => k.CreatedAt < oldest).ExecuteDeleteAsync(cancellation);
        _forgotten = time.GetTimestamp();
    }
}
