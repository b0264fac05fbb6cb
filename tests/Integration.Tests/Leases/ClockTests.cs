using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Services.Tests.Orchestrator;

namespace TinyMLaaS.Integration.Tests.Leases;

/// <summary>F27: due times are compared by the clock of the database alone.</summary>
public sealed class ClockTests(ServersInUse use) : IClassFixture<ServersInUse>
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(8);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public async Task An_orchestrator_whose_clock_is_an_hour_off_neither_loses_leases_nor_keeps_them(int hours)
    {
        using var folder = new Services.Tests.Hosting.TemporaryFolder();
        var database = await use.Servers.NewDatabaseAsync();
        // It also stands still: whatever becomes due does so by another clock.
        var wrong = new FakeTimeProvider(TimeProvider.System.GetUtcNow() + TimeSpan.FromHours(hours));
        await using var host = await OrchestratorHost.StartAsync(folder.Path, settings =>
        {
            settings["Orchestrator:Database"] = database;
            settings["Orchestrator:WorkersShareProcess"] = "false";
            settings["Orchestrator:LeaseSeconds"] = "8";
            settings["Orchestrator:RetrySeconds"] = "1";
        }, wrong);
        await host.AnnounceAsync("compiler", 2, "compiler/fuse");
        SubmitRun[] runs = [Runs.Of("compiler/fuse"), Runs.Of("compiler/fuse")];
        foreach (var run in runs)
            await host.SubmitAsync(run);
        StepOffer[] offers = [await host.OfferAsync(), await host.OfferAsync()];
        foreach (var offer in offers)
            Assert.IsType<AttemptGranted>(await host.ClaimAsync(offer));
        var (alive, silent) = (offers[0], offers[1]);

        // One of them beats for longer than a lease, the other does not.
        var start = await NowAsync(host);
        var lost = false;
        while (!lost || await NowAsync(host) < start + 1.5 * Lease)
        {
            Assert.Equal(HeartbeatVerdicts.Continue, await host.BeatAsync(alive));
            await host.SweepAsync();
            lost = (await host.ReadAsync(silent.RunId)).Steps.Single().Attempts.Any(a => a.State == AttemptStates.Lost);
            Assert.False(lost && await NowAsync(host) < start + Lease - TimeSpan.FromSeconds(1), "A lease was lost before its time.");
            await Task.Delay(200, Cancellation);
        }

        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(alive));
        Assert.Contains(Assert.IsType<AttemptRefused>(await host.CompleteAsync(silent)).Code, (string[])["lease-lost", "stale-fence"]);
        // The pause before the next attempt passes by that clock too.
        var again = await host.OfferAsync();
        Assert.Equal((silent.RunId, 2), (again.RunId, again.Attempt));
        await host.ClaimAsync(again);
        Assert.IsType<AttemptCommitted>(await host.CompleteAsync(again));
        Assert.Equal(hours, Math.Round((wrong.GetUtcNow() - start).TotalHours));
    }

    private static async Task<DateTimeOffset> NowAsync(OrchestratorHost host)
    {
        await using var scope = host.Services.CreateAsyncScope();
        return await scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().ReadClockAsync(TimeProvider.System, Cancellation);
    }
}
