using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence;
using TinyMLaaS.PipelineApi.Storage;

namespace TinyMLaaS.Integration.Tests.Persistence;

public sealed class PostgresMigrationTests(ServersInUse use) : IClassFixture<ServersInUse>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_migrations_make_one_empty_database_into_what_both_models_say_each_in_its_schema()
    {
        var address = DatabaseAddress.Parse(await use.Servers.NewDatabaseAsync());
        await using var runs = new OrchestratorPostgresDbContext(Options<OrchestratorPostgresDbContext>(address, OrchestratorDbContext.SchemaName));
        await using var api = new PipelineApiPostgresDbContext(Options<PipelineApiPostgresDbContext>(address, PipelineApiDbContext.SchemaName));

        foreach (var context in (ServiceDbContext[])[runs, api])
        {
            await context.Database.MigrateAsync(Cancellation);
            await context.Database.MigrateAsync(Cancellation);
            Assert.Empty(await context.Database.GetPendingMigrationsAsync(Cancellation));
            Assert.False(context.Database.HasPendingModelChanges());
        }

        Assert.Equal((0, 0), (await runs.Runs.CountAsync(Cancellation), await api.AcceptedRuns.CountAsync(Cancellation)));
        var tables = await runs.Database.SqlQuery<string>(
            $"SELECT table_schema || '.' || table_name AS \"Value\" FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')").ToListAsync(Cancellation);
        Assert.Contains("orchestrator.runs", tables);
        Assert.Contains("pipeline_api.accepted_runs", tables);
        Assert.DoesNotContain(tables, t => t.StartsWith("public.", StringComparison.Ordinal));
    }

    private static DbContextOptions<T> Options<T>(DatabaseAddress address, string schema) where T : ServiceDbContext =>
        (DbContextOptions<T>)new DbContextOptionsBuilder<T>().Use(address, schema).Options;
}
