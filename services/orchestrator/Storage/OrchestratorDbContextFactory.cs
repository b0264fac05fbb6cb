using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>For <c>dotnet ef</c>, which makes migrations without a host.</summary>
internal sealed class OrchestratorDbContextFactory : IDesignTimeDbContextFactory<OrchestratorDbContext>
{
    public OrchestratorDbContext CreateDbContext(string[] args) =>
        new(new DbContextOptionsBuilder<OrchestratorDbContext>().UseSqlite("Data Source=design-time.db").Options);
}
