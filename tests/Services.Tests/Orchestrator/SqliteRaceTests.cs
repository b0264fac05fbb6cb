using TinyMLaaS.Contracts.Steps;

namespace TinyMLaaS.Services.Tests.Orchestrator;

public sealed class SqliteRaceTests(ITestOutputHelper output) : RaceCompliance(races: 1000, atOnce: 20, output)
{
    private readonly Lock _clock = new();

    private protected override Task<OrchestratorHost> StartAsync() => OrchestratorHost.StartAsync(Folder.Path, s => s["Orchestrator:SilenceSeconds"] = "600");

    private protected override Task MayRunOutAsync(OrchestratorHost host, StepOffer offer, Random random)
    {
        var over = random.Next(10) == 0;
        // The first that comes to this lets the leases of all twenty run out, which the sweeper notices by itself too.
        lock (_clock)
        {
            if (over && host.Time.GetUtcNow() < offer.ExpiresAt)
                host.Time.Advance(TimeSpan.FromSeconds(60));
        }
        return Task.CompletedTask;
    }
}
