using MassTransit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Dispatching;

/// <summary>Releases waiting steps to their pools against free slots: higher priority first, then the older run.</summary>
internal sealed class Dispatcher(IServiceScopeFactory scopes, WorkerPools pools, RunChanges changes, TimeProvider time, ILogger<Dispatcher> log) : BackgroundService
{
    private static readonly TimeSpan FallbackPoll = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await DispatchAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogError(error, "Dispatching failed; the steps stay pending and are looked at again.");
            }
            await changes.NextOfAnyAsync(FallbackPoll, time, stoppingToken);
        }
    }

    /// <summary>Offers what there is room for now; the number of offers made.</summary>
    public async Task<int> DispatchAsync(CancellationToken cancellation)
    {
        var current = pools.Current();
        if (current.Count == 0)
            return 0;
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        var busy = await BusySlots.CountAsync(database, cancellation);
        var free = current.Values.ToDictionary(p => p.Worker, p => p.Slots - busy.GetValueOrDefault(p.Worker));
        var client = scope.ServiceProvider.GetRequiredService<IRequestClient<OfferStep>>();
        var offered = 0;
        foreach (var worker in free.Keys)
        {
            if (free[worker] <= 0)
                continue;
            foreach (var step in await WaitingAsync(database, worker, cancellation))
            {
                var pool = current[worker];
                // A step of a version that nobody here has waits without holding up the others.
                if (pool.VersionFor(step.Uses, step.Version) is not { } version)
                    continue;
                var answer = await client.GetResponse<OfferStepAnswer>(
                    new OfferStep { RunId = step.RunId, Step = step.Position, Queue = pool.Queue, Version = version }, cancellation);
                if (!answer.Message.Offered)
                    continue;
                offered++;
                if (--free[worker] <= 0)
                    break;
            }
        }
        return offered;
    }

    private async Task<List<WaitingStep>> WaitingAsync(OrchestratorDbContext database, string worker, CancellationToken cancellation)
    {
        var now = await database.ReadClockAsync(time, cancellation);
        return await (
            from step in database.Steps.AsNoTracking()
            join run in database.Runs on step.RunId equals run.CorrelationId
            where step.State == StepStates.Pending && step.ReadyAt != null && step.NotBefore <= now && step.Worker == worker
            orderby run.Priority descending, run.AcceptedAt, run.CorrelationId, step.Position
            select new WaitingStep(step.RunId, step.Position, step.Uses, step.Version)).Take(256).ToListAsync(cancellation);
    }

    private sealed record WaitingStep(Guid RunId, int Position, string Uses, string? Version);
}
