using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestration.Testing;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>Two messages on their way at once, a thousand times each: the one that is handled first wins, as docs/architecture.md says, and the other changes nothing.</summary>
public sealed class RaceTests(ITestOutputHelper output) : IDisposable
{
    private const int Races = 1000;
    private const int AtOnce = 20;

    private static readonly string[] Refusals = ["lease-lost", "stale-fence"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_cancellation_and_a_result_have_one_winner()
    {
        var winners = await RaceAsync(async (host, offer, random) =>
        {
            var (complete, cancel) = await BothAsync(random, () => host.CompleteAsync(offer), () => host.CancelAsync(offer.RunId));
            var run = await host.ReadAsync(offer.RunId);
            // The cancellation asks the worker to stop, and the result that comes instead is the sign that it has.
            var (state, told) = complete is AttemptCommitted ? (RunStates.Succeeded, RunStates.Succeeded) : (RunStates.Cancelled, RunStates.Cancelling);
            Assert.Equal((state, told), (run.PublicState, cancel));
            if (complete is AttemptRefused refused)
                Assert.Equal("run-ended", refused.Code);
            Assert.Equal(complete is AttemptCommitted ? 1 : 0, run.Steps.Single().Outputs.Count);
            return state;
        });

        Assert.Equal([RunStates.Cancelled, RunStates.Succeeded], winners);
    }

    [Fact]
    public async Task A_retry_and_a_late_result_have_one_winner()
    {
        var winners = await RaceAsync(
            async (host, offer, random) =>
            {
                var over = random.Next(10) == 0;
                var (complete, _) = await BothAsync(random, () => host.CompleteAsync(offer, output: "late"), async () =>
                {
                    // The first that comes to this lets the leases of all twenty run out, which the sweeper notices by itself too.
                    lock (_folder)
                    {
                        if (over && host.Time.GetUtcNow() < offer.ExpiresAt)
                            host.Time.Advance(TimeSpan.FromSeconds(60));
                    }
                    await host.Bus.Publish(new LeaseExpired { RunId = offer.RunId, Fence = offer.Fence });
                    return "";
                });
                if (complete is AttemptRefused refused)
                    Assert.Contains(refused.Code, Refusals);
                return complete is AttemptCommitted ? "late" : "of the retry";
            },
            async (host, offers) =>
            {
                foreach (var _ in offers.Where(o => o.Winner == "of the retry"))
                {
                    var again = await host.OfferAsync();
                    var (late, winner) = offers.Single(o => o.Offer.RunId == again.RunId);
                    Assert.Equal("of the retry", winner);
                    Assert.IsType<AttemptGranted>(await host.ClaimAsync(again, "compiler-2"));
                    Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.CompleteAsync(late, output: "late")).Code);
                    Assert.IsType<AttemptCommitted>(await host.CompleteAsync(again, worker: "compiler-2", output: winner));
                }
                foreach (var (offer, winner) in offers)
                {
                    var run = await host.ReadAsync(offer.RunId);
                    Assert.Equal(RunStates.Succeeded, run.PublicState);
                    Assert.Equal(Runs.Artifact(winner, "onnx"), run.Steps.Single().Outputs.Single());
                    Assert.Single(run.Steps.Single().Attempts, a => a.State == AttemptStates.Succeeded);
                }
            });

        Assert.Equal(["late", "of the retry"], winners);
    }

    /// <summary>Starts both in the order, and with the head start, that the seed chooses.</summary>
    private static async Task<(object First, string Second)> BothAsync(Random random, Func<Task<object>> first, Func<Task<string>> second)
    {
        var (firstGoes, headStart) = (random.Next(2) == 0, 1 << random.Next(12));
        async Task<T> After<T>(bool waits, Func<Task<T>> act)
        {
            for (var i = waits ? headStart : 0; i > 0; i--)
                await Task.Yield();
            return await act();
        }
        if (firstGoes)
        {
            var (one, two) = (After(false, first), After(true, second));
            return (await one, await two);
        }
        else
        {
            var (two, one) = (After(false, second), After(true, first));
            return (await one, await two);
        }
    }

    /// <summary>Brings runs to a claimed attempt, and races on each; the kinds of winner that there were.</summary>
    private async Task<IReadOnlyList<string>> RaceAsync(
        Func<OrchestratorHost, StepOffer, Random, Task<string>> race, Func<OrchestratorHost, IReadOnlyList<(StepOffer Offer, string Winner)>, Task>? then = null)
    {
        await using var host = await OrchestratorHost.StartAsync(_folder.Path, s => s["Orchestrator:SilenceSeconds"] = "600");
        var winners = new List<string>();
        for (var wave = 0; wave < Races / AtOnce; wave++)
        {
            await host.AnnounceAsync("compiler", AtOnce, "compiler/fuse");
            await Task.WhenAll(Enumerable.Range(0, AtOnce).Select(_ => host.SubmitAsync(Runs.Of("compiler/fuse"))));
            var offers = new List<StepOffer>();
            while (offers.Count < AtOnce)
                offers.Add(await host.OfferAsync());
            foreach (var claim in await Task.WhenAll(offers.Select(o => host.ClaimAsync(o))))
                Assert.IsType<AttemptGranted>(claim);
            var won = await Task.WhenAll(offers.Select((o, i) => race(host, o, new Random(wave * AtOnce + i))));
            if (then is not null)
                await then(host, [.. offers.Zip(won)]);
            winners.AddRange(won);
        }
        await using var scope = host.Services.CreateAsyncScope();
        Assert.Empty(await Invariants.CheckAsync(scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>(), new InvariantScope { Quiet = true }, TestContext.Current.CancellationToken));
        Assert.Equal(Races, winners.Count);
        output.WriteLine(string.Join(", ", winners.CountBy(w => w).OrderBy(w => w.Key).Select(w => $"{w.Value} times {w.Key}")));
        return [.. winners.Distinct().Order(StringComparer.Ordinal)];
    }
}
