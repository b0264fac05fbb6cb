namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class SqliteSagaRepositoryTests : SagaRepositoryCompliance
{
    private protected override string RefuseEvents => "CREATE TRIGGER full BEFORE INSERT ON run_events BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";

    private protected override string TakeEvents => "DROP TRIGGER full";

    private protected override Task<OrchestratorHost> StartAsync() => OrchestratorHost.StartAsync(Folder.Path);
}
