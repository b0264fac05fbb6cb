using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Orchestrator.Caching;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>The rows of the control plane.</summary>
/// <remarks>A new migration: <c>dotnet ef migrations add NAME --project services/orchestrator --output-dir Storage/Migrations</c>.</remarks>
internal sealed class OrchestratorDbContext(DbContextOptions<OrchestratorDbContext> options) : DbContext(options)
{
    public DbSet<PipelineRun> Runs => Set<PipelineRun>();

    public DbSet<RunStep> Steps => Set<RunStep>();

    public DbSet<StepAttempt> Attempts => Set<StepAttempt>();

    public DbSet<RunEvent> Events => Set<RunEvent>();

    public DbSet<StepLogLine> LogLines => Set<StepLogLine>();

    public DbSet<StepCacheEntry> StepCache => Set<StepCacheEntry>();

    /// <summary>Runs with their steps and attempts, which is what a run's decisions are made from.</summary>
    public IQueryable<PipelineRun> WholeRuns => Runs.Include(r => r.Steps).ThenInclude(s => s.Attempts).AsSplitQuery();

    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder) =>
        configurationBuilder.Properties<DateTimeOffset>().HaveConversion<UtcTicks>();

    protected override void OnModelCreating(ModelBuilder modelBuilder) =>
        modelBuilder.ApplyConfigurationsFromAssembly(typeof(OrchestratorDbContext).Assembly);
}
