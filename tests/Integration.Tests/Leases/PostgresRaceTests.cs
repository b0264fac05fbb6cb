using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Orchestrator;

namespace TinyMLaaS.Integration.Tests.Leases;

/// <summary>The same races with the messages on RabbitMQ and the rows, their locks and their clock on PostgreSQL.</summary>
public sealed class PostgresRaceTests(ServersInUse use, ITestOutputHelper output) : RaceCompliance(races: 50, atOnce: 10, output), IClassFixture<ServersInUse>
{
    private protected override async Task<OrchestratorHost> StartAsync()
    {
        var (broker, database) = (await use.Servers.NewVirtualHostAsync(), await use.Servers.NewDatabaseAsync());
        return await OrchestratorHost.StartAsync(Folder.Path, settings =>
        {
            settings["Bus:Address"] = broker;
            settings["Orchestrator:Database"] = database;
            settings["Orchestrator:WorkersShareProcess"] = "false";
            settings["Orchestrator:SilenceSeconds"] = "600";
            // Longer than a machine can be slow: a lease runs out when the seed says so.
            settings["Orchestrator:OfferSeconds"] = "600";
            settings["Orchestrator:LeaseSeconds"] = "3600";
        }, bus: ServiceBus.RabbitMq);
    }

    private protected override async Task MayRunOutAsync(OrchestratorHost host, StepOffer offer, Random random)
    {
        if (random.Next(2) == 0)
            return;
        // Nobody can advance the clock of the database; the row can be older than it is.
        await using var scope = host.Services.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().Attempts
            .Where(a => a.RunId == offer.RunId && a.Fence == offer.Fence && a.EndedAt == null)
            .ExecuteUpdateAsync(row => row.SetProperty(a => a.DueAt, a => a.OfferedAt), TestContext.Current.CancellationToken);
    }
}
