using System.Collections.Concurrent;
using MassTransit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.PipelineApi.Storage;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>
/// Brings accepted runs to the orchestrator. The message may be lost with either process, so the row counts: at start and every few
/// seconds the orchestrator is asked for each run that it has not been seen to know, and those it does not know are sent again. A second
/// message changes nothing there.
/// </summary>
internal sealed class HandOver(
    IServiceScopeFactory scopes, IBus bus, TimeProvider time, IOptions<PipelineApiOptions> options, ILogger<HandOver> log) : BackgroundService
{
    private const int Batch = 100;
    private static readonly Uri Runs = new("queue:v1.orchestrator.runs");
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    // When each was sent last by this process: one that is on its way is not sent again at once.
    private readonly ConcurrentDictionary<Guid, long> _sent = new();
    private readonly TimeSpan _period = options.Value.HandOverEvery;

    /// <summary>Sends a run. An error is no loss: the row is swept.</summary>
    public async Task SendAsync(SubmitRun run, CancellationToken cancellation)
    {
        _sent[run.RunId] = time.GetTimestamp();
        try
        {
            var endpoint = await bus.GetSendEndpoint(Runs);
            await endpoint.Send(run, cancellation);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            log.LogWarning(e, "Run {RunId} could not be handed over yet", run.RunId);
        }
    }

    /// <summary>One look at all rows.</summary>
    public async Task SweepAsync(CancellationToken cancellation)
    {
        var after = (AcceptedAt: DateTimeOffset.MinValue, RunId: Guid.Empty);
        while (true)
        {
            await using var scope = scopes.CreateAsyncScope();
            var database = scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>();
            var orchestrator = scope.ServiceProvider.GetRequiredService<OrchestratorUpstream>();
            var rows = await database.AcceptedRuns
                .Where(r => !r.HandedOver && (r.AcceptedAt > after.AcceptedAt || (r.AcceptedAt == after.AcceptedAt && r.RunId.CompareTo(after.RunId) > 0)))
                .OrderBy(r => r.AcceptedAt).ThenBy(r => r.RunId).Take(Batch).ToListAsync(cancellation);
            foreach (var row in rows)
            {
                if (await orchestrator.FindAsync(row.RunId, cancellation) is not null)
                {
                    row.HandedOver = true;
                    _sent.TryRemove(row.RunId, out _);
                }
                else if (!_sent.TryGetValue(row.RunId, out var sent) || time.GetElapsedTime(sent) >= Patience)
                {
                    await SendAsync(row.Read(), cancellation);
                }
            }
            await database.SaveChangesAsync(cancellation);
            if (rows.Count < Batch)
                return;
            after = (rows[^1].AcceptedAt, rows[^1].RunId);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await ForgetKeysAsync(stoppingToken);
                await SweepAsync(stoppingToken);
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
            try
            {
                await Task.Delay(_period, time, stoppingToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task ForgetKeysAsync(CancellationToken cancellation)
    {
        var oldest = time.GetUtcNow() - RunAcceptance.KeysKept;
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().IdempotencyKeys.Where(k => k.CreatedAt < oldest).ExecuteDeleteAsync(cancellation);
    }
}
