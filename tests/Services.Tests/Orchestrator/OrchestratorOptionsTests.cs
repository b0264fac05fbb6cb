using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using TinyMLaaS.Orchestrator;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class OrchestratorOptionsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Has_these_defaults()
    {
        var options = new OrchestratorOptions();
        Assert.Equal((60, 20, 5, 3), (options.LeaseSeconds, options.HeartbeatEvery.TotalSeconds, options.OfferSeconds, options.MaxAttempts));
        Assert.Equal((1, 15, false, false), (options.RetrySeconds, options.SilenceSeconds, options.WorkersShareProcess, new DatabaseOptions().MigrateAtStart));
    }

    [Fact]
    public async Task Refuses_to_start_without_a_database()
    {
        var error = await Assert.ThrowsAsync<OptionsValidationException>(() => OrchestratorHost.StartAsync(_folder.Path, s => s["Orchestrator:Database"] = ""));
        Assert.StartsWith("Orchestrator:Database is not set. Set it (environment: Orchestrator__Database) to the path of an SQLite file, or a connection string of PostgreSQL", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refuses_to_start_on_a_database_that_lacks_migrations_where_it_may_not_apply_them()
    {
        var error = await Assert.ThrowsAsync<InvalidOperationException>(() => OrchestratorHost.StartAsync(_folder.Path, s => s["Orchestrator:MigrateAtStart"] = "false"));
        Assert.Matches(@"^The database '.*orchestrator\.db' of Orchestrator:Database lacks \d+_Initial.*\. Apply its migrations first", error.Message);
    }

    [Fact]
    public async Task Refuses_heartbeats_that_one_loss_would_make_too_late()
    {
        var error = await Assert.ThrowsAsync<OptionsValidationException>(() => OrchestratorHost.StartAsync(_folder.Path, s => s["Orchestrator:HeartbeatSeconds"] = "31"));
        Assert.Equal(
            "Orchestrator:HeartbeatSeconds is 31 with a lease of 60 s: one lost heartbeat would lose the lease. Set it to at most half of Orchestrator:LeaseSeconds.",
            error.Message);
    }

    [Fact]
    public async Task The_migrations_make_the_model_and_the_connection_is_set_up()
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path);
        await using var scope = host.Services.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().Database;
        Assert.False(database.HasPendingModelChanges());
        Assert.Empty(await database.GetPendingMigrationsAsync(TestContext.Current.CancellationToken));
        Assert.Equal("wal", await PragmaAsync(database, "PRAGMA journal_mode"));
        Assert.Equal(10000L, await PragmaAsync(database, "PRAGMA busy_timeout"));
        Assert.Equal(2L, await PragmaAsync(database, "PRAGMA synchronous"));
        Assert.Equal(1L, await PragmaAsync(database, "PRAGMA foreign_keys"));
    }

    private static async Task<object?> PragmaAsync(Microsoft.EntityFrameworkCore.Infrastructure.DatabaseFacade database, string pragma)
    {
        await database.OpenConnectionAsync(TestContext.Current.CancellationToken);
        await using var command = database.GetDbConnection().CreateCommand();
        command.CommandText = pragma;
        return await command.ExecuteScalarAsync(TestContext.Current.CancellationToken);
    }
}
