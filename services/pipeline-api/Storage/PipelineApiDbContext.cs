using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Persistence;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Datasets;
using TinyMLaaS.PipelineApi.Models;
using TinyMLaaS.PipelineApi.Pipelines;
using TinyMLaaS.PipelineApi.Runs;
using TinyMLaaS.PipelineApi.Transformers;

namespace TinyMLaaS.PipelineApi.Storage;

/// <summary>What pipeline-api owns.</summary>
/// <remarks>
/// A new migration is two: <c>dotnet ef migrations add NAME --project services/pipeline-api --context PipelineApiDbContext --output-dir Storage/Migrations</c>,
/// and the same with <c>--context PipelineApiPostgresDbContext --output-dir Storage/Migrations/Postgres</c>.
/// </remarks>
internal class PipelineApiDbContext : ServiceDbContext
{
    public const string SchemaName = "pipeline_api";

    public PipelineApiDbContext(DbContextOptions<PipelineApiDbContext> options)
        : base(options, SchemaName, hasInbox: false)
    {
    }

    protected PipelineApiDbContext(DbContextOptions options)
        : base(options, SchemaName, hasInbox: false)
    {
    }

    public DbSet<TenantRow> Tenants => Set<TenantRow>();

    public DbSet<KeyRow> Keys => Set<KeyRow>();

    public DbSet<ModelRow> Models => Set<ModelRow>();

    public DbSet<DatasetRow> Datasets => Set<DatasetRow>();

    public DbSet<PipelineRow> Pipelines => Set<PipelineRow>();

    public DbSet<TransformerRow> Transformers => Set<TransformerRow>();

    public DbSet<AcceptedRunRow> AcceptedRuns => Set<AcceptedRunRow>();

    public DbSet<IdempotencyRow> IdempotencyKeys => Set<IdempotencyRow>();
}

/// <summary>The same rows on PostgreSQL.</summary>
internal sealed class PipelineApiPostgresDbContext(DbContextOptions<PipelineApiPostgresDbContext> options) : PipelineApiDbContext(options);
