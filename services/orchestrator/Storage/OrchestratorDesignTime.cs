using Microsoft.EntityFrameworkCore.Design;
using TinyMLaaS.Persistence;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>For <c>dotnet ef</c>, which makes migrations without a host and without a server.</summary>
internal sealed class OrchestratorDesignTime : IDesignTimeDbContextFactory<OrchestratorDbContext>, IDesignTimeDbContextFactory<OrchestratorPostgresDbContext>
{
    OrchestratorDbContext IDesignTimeDbContextFactory<OrchestratorDbContext>.CreateDbContext(string[] args) =>
        new(DesignTimeOptions.Sqlite<OrchestratorDbContext>());

    OrchestratorPostgresDbContext IDesignTimeDbContextFactory<OrchestratorPostgresDbContext>.CreateDbContext(string[] args) =>
        new(DesignTimeOptions.Postgres<OrchestratorPostgresDbContext>(OrchestratorDbContext.SchemaName));
}
