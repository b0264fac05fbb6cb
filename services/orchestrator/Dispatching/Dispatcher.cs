using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator.Dispatching;

/// <summary>
/// Releases waiting steps to their pools against free slots: higher priority first, then the tenant that has the smallest share of the pool's busy slots, among
/// those with the same share the one that was served least recently, then the older run.
/// </summary>
internal sealed class Dispatcher(
    IServiceScopeFactory scopes, StepOffers offers, WorkerPools pools, RunChanges changes, Loops loops, TimeProvider time, ILogger<Dispatcher> log) : BackgroundService
{
    /// <summary>Steps of a tenant that are looked at beyond the free slots: some will turn out to have changed.</summary>
    private const int Spare = 8;

    /// <summary>Offers of one transaction at most: it holds their runs locked.</summary>
    private const int Batch = 64;

    private static readonly TimeSpan FallbackPoll = TimeSpan.FromSeconds(1);

    /// <summary>Slots that become free soon after an offer share the next look and the next transaction.</summary>
    private static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(5);

    private readonly IdlePause _pause = new(FallbackPoll);
    private readonly Loop _loop = loops.Add(OrchestratorModule.ServiceName, "dispatcher", IdlePause.LongestOf(FallbackPoll));

    // When a tenant was last served by a pool. A help for fairness that may be forgotten: without it the older run goes first.
    private readonly Dictionary<(string Worker, string Tenant), long> _served = [];
    private long _servings;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var busy = true;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                // By the machine's clock: nothing but the size of a transaction depends on it.
                if (await DispatchAsync(stoppingToken) > 0)
                    await Task.Delay(Gather, TimeProvider.System, stoppingToken);
                // The end of a step's pause is nobody's change.
                busy = busy || await AnyWaitsAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogError(error, "Dispatching failed; the steps stay pending and are looked at again.");
                busy = true;
            }
            _loop.Pass();
            busy = await changes.NextWorkAsync(_pause.After(busy), time, stoppingToken);
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
        var offered = 0;
        foreach (var pool in current.Values)
        {
            var free = pool.Slots - busy.Of(pool.Worker);
            if (free <= 0)
                continue;
            var waiting = await WaitingAsync(database, pool, free + Spare, cancellation);
            Forget(pool.Worker, busy, waiting);
            while (free > 0 && waiting.Count > 0)
            {
                var chosen = Choose(pool, busy, waiting, Math.Min(free, Batch));
                var made = await offers.MakeAsync(chosen.Keys, cancellation);
                _loop.Pass();
                foreach (var (_, step) in chosen.Where(c => !made.Contains(c.Key)))
                    busy.Release(pool.Worker, step.Tenant);
                offered += made.Count;
                free -= made.Count;
            }
        }
        return offered;
    }

    private async Task<bool> AnyWaitsAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        return await scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().Steps.AnyAsync(s => s.State == StepStates.Pending && s.ReadyAt != null, cancellation);
    }

    /// <summary>Takes the next steps out of those that wait, each with a slot, as if all of them were to take it.</summary>
    private Dictionary<OfferStep, WaitingStep> Choose(WorkerPool pool, BusySlots busy, List<WaitingStep> waiting, int free)
    {
        var chosen = new Dictionary<OfferStep, WaitingStep>();
        while (chosen.Count < free && waiting.Count > 0)
        {
            var step = waiting.MinBy(s => (-s.Priority, busy.Of(pool.Worker, s.Tenant), _served.GetValueOrDefault((pool.Worker, s.Tenant)), s.AcceptedAt, s.RunId, s.Position))!;
            waiting.Remove(step);
            chosen.Add(new OfferStep(step.RunId, step.Position, pool.Queue, pool.VersionFor(step.Uses, step.Version)!), step);
            _served[(pool.Worker, step.Tenant)] = ++_servings;
            busy.Take(pool.Worker, step.Tenant);
        }
        return chosen;
    }

    /// <summary>The first waiting steps of each tenant that the pool can run; one of a version that nobody here has waits without holding up the others.</summary>
    private async Task<List<WaitingStep>> WaitingAsync(OrchestratorDbContext database, WorkerPool pool, int each, CancellationToken cancellation)
    {
        var now = await database.ReadClockAsync(time, cancellation);
        var names = pool.Transformers.Select(t => t.Name).Distinct().ToArray();
        var versions = pool.Transformers.Select(t => $"{t.Name} {t.Version}").ToArray();
        var waiting =
            from step in database.Steps.AsNoTracking()
            join run in database.Runs on step.RunId equals run.CorrelationId
            where step.State == StepStates.Pending && step.ReadyAt != null && step.NotBefore <= now && step.Worker == pool.Worker
                && (step.Version == null ? names.Contains(step.Uses) : versions.Contains(step.Uses + " " + step.Version))
            select new WaitingStep { Tenant = run.Tenant, Priority = run.Priority, AcceptedAt = run.AcceptedAt, RunId = step.RunId, Position = step.Position, Uses = step.Uses, Version = step.Version };
        return await waiting.Select(s => s.Tenant).Distinct().SelectMany(tenant => waiting
            .Where(s => s.Tenant == tenant)
            .OrderByDescending(s => s.Priority).ThenBy(s => s.AcceptedAt).ThenBy(s => s.RunId).ThenBy(s => s.Position)
            .Take(each)).ToListAsync(cancellation);
    }

    /// <summary>A tenant that wants nothing of the pool and has nothing in it starts anew, so that what is kept does not grow with all who ever came.</summary>
    private void Forget(string worker, BusySlots busy, List<WaitingStep> waiting)
    {
        foreach (var gone in _served.Keys.Where(k => k.Worker == worker && busy.Of(worker, k.Tenant) == 0 && waiting.All(s => s.Tenant != k.Tenant)).ToArray())
            _served.Remove(gone);
    }

    private sealed record WaitingStep
    {
        public required string Tenant { get; init; }

        public required int Priority { get; init; }

        public required DateTimeOffset AcceptedAt { get; init; }

        public required Guid RunId { get; init; }

        public required int Position { get; init; }

        public required string Uses { get; init; }

        public required string? Version { get; init; }
    }
}
