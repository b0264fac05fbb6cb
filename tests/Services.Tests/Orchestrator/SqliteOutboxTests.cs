namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class SqliteOutboxTests : OutboxCompliance
{
    private protected override Task<OrchestratorHost> StartAsync() => OrchestratorHost.StartAsync(Folder.Path);
}
