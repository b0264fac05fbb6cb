using System.Diagnostics.Metrics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Dispatching;
using TinyMLaaS.Orchestrator.Storage;
using Measures = TinyMLaaS.ServiceDefaults.Telemetry;

namespace TinyMLaaS.Orchestrator.Telemetry;

/// <summary>Shows how much waits and why, read from the rows every few seconds. Every orchestrator shows the same: a dashboard takes the largest and adds nothing up.</summary>
internal sealed class QueueGauges : BackgroundService
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    private readonly IServiceScopeFactory _scopes;
    private readonly WorkerPools _pools;
    private readonly TimeProvider _time;
    private readonly ILogger<QueueGauges> _log;
    private IReadOnlyList<Measurement<long>> _pending = [];
    private IReadOnlyList<Measurement<long>> _busy = [];
    private bool _failing;

    public QueueGauges(IServiceScopeFactory scopes, WorkerPools pools, IMeterFactory meters, TimeProvider time, ILogger<QueueGauges> log)
    {
        (_scopes, _pools, _time, _log) = (scopes, pools, time, log);
        var meter = meters.Create(Measures.Name);
        meter.CreateObservableGauge("tinymlaas.steps.pending", () => _pending,
            description: "Steps whose input is there and that no worker has, by pool and reason: no-worker, no-version, slots-busy, pause or dispatching.");
        meter.CreateObservableGauge("tinymlaas.slots.busy", () => _busy, description: "Attempts that are offered or run, by pool.");
        meter.CreateObservableGauge("tinymlaas.slots", () => _pools.Current().Values.Select(p => new Measurement<long>(p.Slots, Pool(p.Worker))), description: "Attempts that the announced workers run at once, by pool.");
    }

    /// <summary>Reads the rows once.</summary>
    public async Task ReadAsync(CancellationToken cancellation)
    {
        await using var scope = _scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        var now = await database.ReadClockAsync(_time, cancellation);
        var waiting = await database.Steps.AsNoTracking()
            .Where(s => s.State == StepStates.Pending && s.ReadyAt != null)
            .GroupBy(s => new { s.Worker, s.Uses, s.Version, Pauses = s.NotBefore > now })
            .Select(g => new { g.Key.Worker, g.Key.Uses, g.Key.Version, g.Key.Pauses, Count = g.LongCount() })
            .ToListAsync(cancellation);
        var busy = await BusySlots.CountAsync(database, cancellation);
        var pools = _pools.Current();
        string Reason(string worker, string uses, string? version, bool pauses) =>
            !pools.TryGetValue(worker, out var pool) ? "no-worker"
            : pool.VersionFor(uses, version) is null ? "no-version"
            : pauses ? "pause"
            : busy.Of(worker) >= pool.Slots ? "slots-busy"
            : "dispatching";
        _pending = [.. waiting.GroupBy(w => (w.Worker, Reason: Reason(w.Worker, w.Uses, w.Version, w.Pauses)))
            .Select(g => new Measurement<long>(g.Sum(w => w.Count), Pool(g.Key.Worker), new("reason", g.Key.Reason)))];
        _busy = [.. pools.Keys.Select(worker => new Measurement<long>(busy.Of(worker), Pool(worker)))];
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, _time);
        do
        {
            try
            {
                await ReadAsync(stoppingToken);
                _failing = false;
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                if (!_failing)
                    _log.LogWarning(error, "The gauges of waiting steps keep their last values until the database answers.");
                _failing = true;
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    private static KeyValuePair<string, object?> Pool(string worker) => new("pool", worker);
}
