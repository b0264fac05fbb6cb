using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Services.Tests.Orchestrator.Events;

public sealed class SqliteEventLogTests : EventLogCompliance
{
    private protected override Task<OrchestratorHost> StartAsync() => OrchestratorHost.StartAsync(Folder.Path);

    [Fact]
    public async Task Events_of_before_there_were_positions_belong_to_the_tenant_of_their_run()
    {
        var options = new DbContextOptionsBuilder<OrchestratorDbContext>().UseSqlite($"Data Source={Folder["old.db"]};Pooling=False").Options;
        await using var database = new OrchestratorDbContext(options);
        await database.GetService<IMigrator>().MigrateAsync("Resume", Cancellation);
        await database.Database.ExecuteSqlRawAsync(
            """
            INSERT INTO runs ("CorrelationId", "Version", "CurrentState", "Tenant", "Submission", "Priority", "AcceptedAt", "Sequence", "Fence", "Resumptions")
            VALUES ('00000000-0000-0000-0000-000000000001', 1, 'Accepted', 'acme', '{{}}', 0, 0, 1, 0, 0);
            INSERT INTO run_events ("RunId", "Sequence", "Type", "At", "Data") VALUES ('00000000-0000-0000-0000-000000000001', 1, 'io.tinymlaas.run.accepted.v1', 0, '{{}}');
            """,
            Cancellation);

        await database.Database.MigrateAsync(Cancellation);

        var entry = await database.Events.SingleAsync(Cancellation);
        Assert.Equal(("acme", null), (entry.Tenant, entry.Position));
    }
}
