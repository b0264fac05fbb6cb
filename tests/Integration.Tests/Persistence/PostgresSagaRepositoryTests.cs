using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Services.Tests.Orchestrator;

namespace TinyMLaaS.Integration.Tests.Persistence;

public sealed class PostgresSagaRepositoryTests(ServersInUse use) : SagaRepositoryCompliance, IClassFixture<ServersInUse>
{
    private protected override string RefuseEvents => """
        CREATE FUNCTION orchestrator.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON orchestrator.run_events EXECUTE FUNCTION orchestrator.refuse();
        """;

    private protected override string TakeEvents => "DROP TRIGGER full_disk ON orchestrator.run_events";

    private protected override async Task<OrchestratorHost> StartAsync()
    {
        var database = await use.Servers.NewDatabaseAsync();
        return await OrchestratorHost.StartAsync(Folder.Path, settings => settings["Orchestrator:Database"] = database);
    }
}
