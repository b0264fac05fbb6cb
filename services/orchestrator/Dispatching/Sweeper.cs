using MassTransit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Events;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator.Dispatching;

/// <summary>
/// Finds what is due: offers, leases, attempts, steps that wait and runs whose time is over. It only says so: whether that still holds when the message arrives is decided there, so it
/// does no harm to say it twice.
/// </summary>
internal sealed class Sweeper(
    IServiceScopeFactory scopes, IBus bus, EventSignals signals, IOptions<OrchestratorOptions> options, Loops loops, TimeProvider time, ILogger<Sweeper> log)
    : BackgroundService, IHostedLifecycleService
{
    private const int Batch = 1000;

    private static readonly TimeSpan Every = TimeSpan.FromSeconds(1);

    private readonly Loop _loop = loops.Add(OrchestratorModule.ServiceName, "sweeper", IdlePause.LongestOf(Every));
    private IReadOnlyList<WorkerGone> _orphans = [];

    /// <summary>Attempts of the process before, read before this process can have any of its own.</summary>
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        if (!options.Value.WorkersShareProcess)
            return;
        await using var scope = scopes.CreateAsyncScope();
        _orphans = await scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().Attempts.AsNoTracking()
            .Where(a => a.State == AttemptStates.Offered || a.State == AttemptStates.Running)
            .Select(a => new WorkerGone { RunId = a.RunId, Fence = a.Fence, Died = true })
            .ToListAsync(cancellationToken);
    }

    /// <summary>Ends them as soon as the bus runs.</summary>
    public async Task StartedAsync(CancellationToken cancellationToken)
    {
        foreach (var orphan in _orphans)
            await bus.Publish(orphan, cancellationToken);
        _orphans = [];
    }

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var pause = new IdlePause(Every);
        var (active, committed) = (true, signals.Committed.Next);
        while (!stoppingToken.IsCancellationRequested)
        {
            _loop.Pass();
            // While no run is active only a commit, of this process or of another, can begin what becomes due.
            var limit = pause.After(active);
            if (active)
                await Task.Delay(limit, time, stoppingToken);
            else
                await Waiting.ForAsync(committed, limit, time, stoppingToken);
            // Before the look, so that no commit falls between.
            committed = signals.Committed.Next;
            active = true;
            try
            {
                active = await SweepAsync(stoppingToken) > 0 || await AnyActiveAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogError(error, "Sweeping failed; what is due stays due.");
            }
        }
    }

    private async Task<bool> AnyActiveAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        return await database.Runs.AnyAsync(r => r.LimitAt != null, cancellation)
            || await database.Attempts.AnyAsync(a => a.State == AttemptStates.Offered || a.State == AttemptStates.Running, cancellation);
    }

    /// <summary>Says what is due now; the number of messages.</summary>
    public async Task<int> SweepAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        var now = await database.ReadClockAsync(time, cancellation);
        var due = await database.Attempts.AsNoTracking()
            .Where(a => (a.State == AttemptStates.Offered || a.State == AttemptStates.Running) && a.DueAt <= now)
            .OrderBy(a => a.DueAt)
            .Take(Batch)
            .Select(a => new { a.RunId, a.Fence, a.State })
            .ToListAsync(cancellation);
        var said = new List<object>();
        foreach (var attempt in due)
            said.Add(attempt.State == AttemptStates.Offered ? new OfferExpired { RunId = attempt.RunId, Fence = attempt.Fence } : new LeaseExpired { RunId = attempt.RunId, Fence = attempt.Fence });
        said.AddRange(await database.Attempts.AsNoTracking().Where(a => a.LimitAt <= now).OrderBy(a => a.LimitAt).Take(Batch)
            .Select(a => new AttemptExpired { RunId = a.RunId, Fence = a.Fence }).ToListAsync(cancellation));
        said.AddRange(await database.Steps.AsNoTracking().Where(s => s.QueueLimitAt <= now).OrderBy(s => s.QueueLimitAt).Take(Batch)
            .Select(s => new QueueExpired { RunId = s.RunId, Step = s.Position }).ToListAsync(cancellation));
        said.AddRange(await database.Runs.AsNoTracking().Where(r => r.LimitAt <= now).OrderBy(r => r.LimitAt).Take(Batch)
            .Select(r => new RunExpired { RunId = r.CorrelationId }).ToListAsync(cancellation));
        foreach (var message in said)
            await bus.Publish(message, message.GetType(), cancellation);
        return said.Count;
    }
}
