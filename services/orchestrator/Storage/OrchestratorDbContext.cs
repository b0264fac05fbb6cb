using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Orchestrator.Caching;
using TinyMLaaS.Orchestrator.Events;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Persistence;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>The rows of the control plane.</summary>
/// <remarks>
/// A new migration is two: <c>dotnet ef migrations add NAME --project services/orchestrator --context OrchestratorDbContext --output-dir Storage/Migrations</c>,
/// and the same with <c>--context OrchestratorPostgresDbContext --output-dir Storage/Migrations/Postgres</c>.
/// </remarks>
internal class OrchestratorDbContext : ServiceDbContext
{
    public const string SchemaName = "orchestrator";

    public OrchestratorDbContext(DbContextOptions<OrchestratorDbContext> options)
        : base(options, SchemaName, hasInbox: true)
    {
    }

    protected OrchestratorDbContext(DbContextOptions options)
        : base(options, SchemaName, hasInbox: true)
    {
    }

    public DbSet<PipelineRun> Runs => Set<PipelineRun>();

    public DbSet<RunStep> Steps => Set<RunStep>();

    public DbSet<StepAttempt> Attempts => Set<StepAttempt>();

    public DbSet<RunEvent> Events => Set<RunEvent>();

    public DbSet<EventCursor> EventCursors => Set<EventCursor>();

    public DbSet<StepLogLine> LogLines => Set<StepLogLine>();

    public DbSet<StepCacheEntry> StepCache => Set<StepCacheEntry>();

    /// <summary>Runs with their steps and attempts, which is what a run's decisions are made from.</summary>
    public IQueryable<PipelineRun> WholeRuns => Runs.Include(r => r.Steps).ThenInclude(s => s.Attempts).AsSplitQuery();

    /// <summary>
    /// A run that the transaction is about to change; null when there is none. On PostgreSQL its row is locked first, so that whoever comes second reads
    /// what the first has committed; on SQLite the transaction is the only one that writes.
    /// </summary>
    public async Task<PipelineRun?> LoadForUpdateAsync(Guid run, CancellationToken cancellation)
    {
        if (!Database.IsNpgsql())
            return await WholeRuns.SingleOrDefaultAsync(r => r.CorrelationId == run, cancellation);
        var locked = await Runs.FromSql($"""SELECT * FROM orchestrator.runs WHERE "CorrelationId" = {run} FOR UPDATE""").ToListAsync(cancellation);
        if (locked.Count == 0)
            return null;
        await Steps.Where(s => s.RunId == run).Include(s => s.Attempts).AsSplitQuery().LoadAsync(cancellation);
        return locked[0];
    }
}

/// <summary>The same rows on PostgreSQL.</summary>
internal sealed class OrchestratorPostgresDbContext(DbContextOptions<OrchestratorPostgresDbContext> options) : OrchestratorDbContext(options);
