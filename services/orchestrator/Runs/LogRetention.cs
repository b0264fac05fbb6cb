using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>
/// Bounds what is kept of a tenant's step logs: beyond the limit those of the runs that ended first go, and each step says so in the one line that is left. Runs that go on keep theirs, which are bounded one by one.
/// </summary>
internal sealed class LogRetention(
    IServiceScopeFactory scopes, WriteTransactions<OrchestratorDbContext> transactions, IOptions<OrchestratorOptions> options, TimeProvider time, ILogger<LogRetention> log) : BackgroundService
{
    private const int Batch = 200;
    private static readonly TimeSpan Every = TimeSpan.FromMinutes(10);

    /// <summary>Makes room now; the number of runs whose logs went.</summary>
    public async Task<int> CleanAsync(CancellationToken cancellation)
    {
        var limit = (long)options.Value.LogMiB << 20;
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        var tenants = await (
            from step in database.Steps.AsNoTracking()
            join run in database.Runs on step.RunId equals run.CorrelationId
            group step.LogBytes by run.Tenant into kept
            select new { Tenant = kept.Key, Bytes = kept.Sum(b => (long)b) }).Where(t => t.Bytes > limit).ToListAsync(cancellation);
        var removed = 0;
        foreach (var tenant in tenants)
        {
            var excess = tenant.Bytes - limit;
            while (excess > 0 && await OldestAsync(database, tenant.Tenant, cancellation) is { Count: > 0 } oldest)
            {
                var go = new List<Guid>();
                foreach (var (run, bytes) in oldest.TakeWhile(_ => excess > 0))
                {
                    go.Add(run);
                    excess -= bytes;
                }
                await RemoveAsync(database, go, cancellation);
                removed += go.Count;
            }
            log.LogInformation("The step logs of {Tenant} had {Bytes} bytes, more than the {Limit} of Orchestrator:LogMiB: those of the runs that ended first were removed", tenant.Tenant, tenant.Bytes, limit);
        }
        return removed;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await CleanAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning(error, "Old step logs could not be removed; it is tried again in {Minutes} minutes", Every.TotalMinutes);
            }
        }
    }

    private static async Task<List<(Guid Run, long Bytes)>> OldestAsync(OrchestratorDbContext database, string tenant, CancellationToken cancellation)
    {
        var runs = await database.Runs.AsNoTracking()
            .Where(r => r.Tenant == tenant && r.EndedAt != null && database.Steps.Any(s => s.RunId == r.CorrelationId && s.LogBytes > 0))
            .OrderBy(r => r.EndedAt).ThenBy(r => r.CorrelationId).Take(Batch)
            .Select(r => new { r.CorrelationId, Bytes = database.Steps.Where(s => s.RunId == r.CorrelationId).Sum(s => (long)s.LogBytes) })
            .ToListAsync(cancellation);
        return [.. runs.Select(r => (r.CorrelationId, r.Bytes))];
    }

    private async Task RemoveAsync(OrchestratorDbContext database, List<Guid> runs, CancellationToken cancellation)
    {
        var notice = $"The log was removed to make room: {options.Value.LogMiB} MiB are kept of the logs of a tenant.";
        await using var transaction = await transactions.BeginAsync(database, cancellation);
        await database.LogLines
            .Where(l => runs.Contains(l.RunId) && l.Last < database.Steps.Where(s => s.RunId == l.RunId && s.Position == l.Step).Select(s => s.LogLines).First())
            .ExecuteDeleteAsync(cancellation);
        await database.LogLines.Where(l => runs.Contains(l.RunId)).ExecuteUpdateAsync(set => set.SetProperty(l => l.Text, notice), cancellation);
        await database.Steps.Where(s => runs.Contains(s.RunId)).ExecuteUpdateAsync(set => set.SetProperty(s => s.LogBytes, 0), cancellation);
        await transaction.CommitAsync(cancellation);
    }
}
