using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Services.Tests.Orchestrator;

namespace TinyMLaaS.Integration.Tests.Persistence;

public sealed class PostgresOutboxTests(ServersInUse use) : OutboxCompliance, IClassFixture<ServersInUse>
{
    private protected override async Task<OrchestratorHost> StartAsync()
    {
        var database = await use.Servers.NewDatabaseAsync();
        return await OrchestratorHost.StartAsync(Folder.Path, settings => settings["Orchestrator:Database"] = database);
    }
}
