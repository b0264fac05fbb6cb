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

    public DbSet<StepLogLines> LogLines => Set<StepLogLines>();

    public DbSet<StepCacheEntry> StepCache => Set<StepCacheEntry>();

    /// <summary>
    /// When the transaction's decision is made: read once, with the row that it locks. On PostgreSQL by the clock of the database, so that a process whose own
    /// clock is wrong neither loses leases nor keeps them; an SQLite file has no clock but that of its process.
    /// </summary>
    public DateTimeOffset Now { get; private set; }

    /// <summary>Runs with their steps and attempts, which is what a run's decisions are made from.</summary>
    public IQueryable<PipelineRun> WholeRuns => Runs.Include(r => r.Steps).ThenInclude(s => s.Attempts).AsSplitQuery();

    /// <summary>
    /// A run that the transaction is about to change; null when there is none. On PostgreSQL its row is locked first, so that whoever comes second reads
    /// what the first has committed; on SQLite the transaction is the only one that writes.
    /// </summary>
    public async Task<PipelineRun?> LoadForUpdateAsync(Guid run, TimeProvider time, CancellationToken cancellation)
    {
        PipelineRun? found;
        if (Database.IsNpgsql())
        {
            var locked = await Runs.FromSql($"""SELECT * FROM orchestrator.runs WHERE "CorrelationId" = {run} FOR UPDATE""").Select(r => new { Run = r, Now = ClockTimestamp() }).ToListAsync(cancellation);
            found = locked.SingleOrDefault()?.Run;
            Now = locked is [{ Now: var now }] ? new DateTimeOffset(now) : default;
        }
        else
        {
            Now = time.GetUtcNow();
            found = await Runs.SingleOrDefaultAsync(r => r.CorrelationId == run, cancellation);
        }
        if (found is not null)
            await LoadStepsAsync([run], cancellation);
        return found;
    }

    /// <summary>
    /// Those of the runs that nobody else is about to change, for the transaction to change; the others are looked at again when whoever has them is done.
    /// </summary>
    public async Task<IReadOnlyList<PipelineRun>> LoadFreeForUpdateAsync(Guid[] runs, TimeProvider time, CancellationToken cancellation)
    {
        var free = Database.IsNpgsql()
            ? Runs.FromSql($"""SELECT * FROM orchestrator.runs WHERE "CorrelationId" = ANY ({runs}) FOR UPDATE SKIP LOCKED""")
            : Runs.Where(r => runs.Contains(r.CorrelationId));
        var locked = await free.ToListAsync(cancellation);
        await ReadClockAsync(time, cancellation);
        await LoadStepsAsync([.. locked.Select(r => r.CorrelationId)], cancellation);
        return locked;
    }

    /// <summary>Saves what has changed; a run of which anything has changed is of another version then.</summary>
    public async Task SaveRunsAsync(CancellationToken cancellation)
    {
        // Once: rows and their snapshots are compared property by property.
        ChangeTracker.AutoDetectChangesEnabled = false;
        ChangeTracker.DetectChanges();
        var changed = ChangeTracker.Entries().Where(e => e.State != EntityState.Unchanged).Select(e => e.Entity switch
        {
            PipelineRun run => run.CorrelationId,
            RunStep step => step.RunId,
            StepAttempt attempt => attempt.RunId,
            RunEvent entry => entry.RunId,
            StepLogLines lines => lines.RunId,
            // An answer alone is no change of the run.
            _ => Guid.Empty,
        }).ToHashSet();
        foreach (var run in ChangeTracker.Entries<PipelineRun>().Where(r => changed.Contains(r.Entity.CorrelationId)))
            run.Property(r => r.Version).CurrentValue++;
        await SaveChangesAsync(cancellation);
    }

    /// <summary>Sets <see cref="Now"/>, and returns it.</summary>
    public async Task<DateTimeOffset> ReadClockAsync(TimeProvider time, CancellationToken cancellation)
    {
        if (Database.IsNpgsql())
            Now = new DateTimeOffset(await Database.SqlQuery<DateTime>($"""SELECT clock_timestamp() AS "Value" """).SingleAsync(cancellation));
        else
            Now = time.GetUtcNow();
        return Now;
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        base.OnModelCreating(modelBuilder);
        if (Database.IsNpgsql())
            modelBuilder.HasDbFunction(() => ClockTimestamp()).HasName("clock_timestamp").IsBuiltIn();
    }

    /// <summary>Steps and attempts of runs that are here already. Most steps have one attempt, so one statement costs less than two.</summary>
    private Task LoadStepsAsync(Guid[] runs, CancellationToken cancellation) =>
        Steps.Where(s => runs.Contains(s.RunId)).Include(s => s.Attempts).AsSingleQuery().LoadAsync(cancellation);

    // Not now(): that is when the transaction began, which may have waited for the row.
    private static DateTime ClockTimestamp() => throw new NotSupportedException("It is a function of the database.");
}

/// <summary>The same rows on PostgreSQL.</summary>
internal sealed class OrchestratorPostgresDbContext(DbContextOptions<OrchestratorPostgresDbContext> options) : OrchestratorDbContext(options);
