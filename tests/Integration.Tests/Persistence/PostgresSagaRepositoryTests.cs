using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Services.Tests.Orchestrator;

namespace TinyMLaaS.Integration.Tests.Persistence;

public sealed class PostgresSagaRepositoryTests(ServersInUse use) : SagaRepositoryCompliance, IClassFixture<ServersInUse>
{
    private protected override string RefuseEvents => """
        CREATE FUNCTION orchestrator.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON orchestrator.run_events EXECUTE FUNCTION orchestrator.refuse();
        """;

    private protected override string TakeEvents => "DROP TRIGGER full_disk ON orchestrator.run_events";

    [Fact]
    public async Task A_run_that_somebody_else_changes_holds_up_no_offer_to_another()
    {
        await using var host = await StartAsync();
        var (held, free) = (Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse"));
        await host.SubmitAsync(held);
        await host.SubmitAsync(free);
        await using (var scope = host.Services.CreateAsyncScope())
        {
            var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
            await using var transaction = await database.Database.BeginTransactionAsync(TestContext.Current.CancellationToken);
            Assert.NotNull(await database.LoadForUpdateAsync(held.RunId, host.Time, TestContext.Current.CancellationToken));

            Assert.Equal(free.RunId, Assert.Single(await host.MakeOffersAsync(held.RunId, free.RunId)).RunId);
        }

        Assert.Equal(held.RunId, Assert.Single(await host.MakeOffersAsync(held.RunId, free.RunId)).RunId);
    }

    private protected override async Task<OrchestratorHost> StartAsync()
    {
        var database = await use.Servers.NewDatabaseAsync();
        return await OrchestratorHost.StartAsync(Folder.Path, settings => settings["Orchestrator:Database"] = database);
    }
}
