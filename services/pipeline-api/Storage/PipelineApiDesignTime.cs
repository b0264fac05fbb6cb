using Microsoft.EntityFrameworkCore.Design;
using TinyMLaaS.Persistence;

namespace TinyMLaaS.PipelineApi.Storage;

/// <summary>For <c>dotnet ef</c>, which makes migrations without a host and without a server.</summary>
internal sealed class PipelineApiDesignTime : IDesignTimeDbContextFactory<PipelineApiDbContext>, IDesignTimeDbContextFactory<PipelineApiPostgresDbContext>
{
    PipelineApiDbContext IDesignTimeDbContextFactory<PipelineApiDbContext>.CreateDbContext(string[] args) =>
        new(DesignTimeOptions.Sqlite<PipelineApiDbContext>());

    PipelineApiPostgresDbContext IDesignTimeDbContextFactory<PipelineApiPostgresDbContext>.CreateDbContext(string[] args) =>
        new(DesignTimeOptions.Postgres<PipelineApiPostgresDbContext>(PipelineApiDbContext.SchemaName));
}
