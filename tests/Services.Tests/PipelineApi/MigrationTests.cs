using Microsoft.EntityFrameworkCore;
using TinyMLaaS.PipelineApi.Storage;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.PipelineApi;

public sealed class MigrationTests
{
    [Fact]
    public async Task The_migrations_make_an_empty_database_into_what_the_model_says()
    {
        using var folder = new TemporaryFolder();
        var options = new DbContextOptionsBuilder<PipelineApiDbContext>().UseSqlite($"Data Source={folder["api.db"]};Pooling=False").Options;
        await using var database = new PipelineApiDbContext(options);

        await database.Database.MigrateAsync(TestContext.Current.CancellationToken);

        Assert.Empty(await database.Database.GetPendingMigrationsAsync(TestContext.Current.CancellationToken));
        Assert.False(database.Database.HasPendingModelChanges());
        Assert.Equal(0, await database.AcceptedRuns.CountAsync(TestContext.Current.CancellationToken));
    }
}
