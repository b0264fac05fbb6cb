using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;
using TinyMLaaS.PipelineApi.Datasets;
using TinyMLaaS.PipelineApi.Models;
using TinyMLaaS.PipelineApi.Pipelines;
using TinyMLaaS.PipelineApi.Runs;
using TinyMLaaS.PipelineApi.Transformers;

namespace TinyMLaaS.PipelineApi.Storage;

/// <summary>What pipeline-api owns.</summary>
/// <remarks>A migration is made with: <c>dotnet ef migrations add NAME --project services/pipeline-api --output-dir Storage/Migrations</c></remarks>
internal sealed class PipelineApiDbContext(DbContextOptions<PipelineApiDbContext> options) : DbContext(options)
{
    public DbSet<ModelRow> Models => Set<ModelRow>();

    public DbSet<DatasetRow> Datasets => Set<DatasetRow>();

    public DbSet<PipelineRow> Pipelines => Set<PipelineRow>();

    public DbSet<TransformerRow> Transformers => Set<TransformerRow>();

    public DbSet<AcceptedRunRow> AcceptedRuns => Set<AcceptedRunRow>();

    public DbSet<IdempotencyRow> IdempotencyKeys => Set<IdempotencyRow>();

    protected override void OnModelCreating(ModelBuilder modelBuilder) =>
        modelBuilder.ApplyConfigurationsFromAssembly(typeof(PipelineApiDbContext).Assembly);

    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder) =>
        configurationBuilder.Properties<DateTimeOffset>().HaveConversion<UtcTicks>();

    // SQLite has no type for times, and text would not compare.
    private sealed class UtcTicks() : ValueConverter<DateTimeOffset, long>(time => time.UtcTicks, ticks => new DateTimeOffset(ticks, TimeSpan.Zero));
}
