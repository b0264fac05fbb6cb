using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace TinyMLaaS.PipelineApi.Storage;

/// <summary>Lets <c>dotnet ef</c> see the model without a host.</summary>
internal sealed class DesignTimeDbContextFactory : IDesignTimeDbContextFactory<PipelineApiDbContext>
{
    public PipelineApiDbContext CreateDbContext(string[] args) =>
        new(new DbContextOptionsBuilder<PipelineApiDbContext>().UseSqlite("Data Source=design-time.db").Options);
}
