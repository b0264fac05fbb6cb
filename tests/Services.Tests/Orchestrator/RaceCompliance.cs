using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestration.Testing;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence.Outbox;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Orchestrator;

/// <summary>
/// F16, on any database and any transport: two messages on their way at once, many times each: the one that is handled first wins, as docs/architecture.md says, and
/// the other changes nothing.
/// </summary>
/// <param name="races">How many there are of each pair.</param>
/// <param name="atOnce">How many of them run at once.</param>
/// <param name="output">Is told how they ended.</param>
public abstract class RaceCompliance(int races, int atOnce, ITestOutputHelper output) : IDisposable
{
    private static readonly string[] Refusals = ["lease-lost", "stale-fence"];

    private protected TemporaryFolder Folder { get; } = new();

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        Folder.Dispose();
    }

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
                var (complete, _) = await BothAsync(random, () => host.CompleteAsync(offer, output: "late"), async () =>
                {
                    await MayRunOutAsync(host, offer, random);
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

    [Fact]
    public async Task A_resumption_and_the_result_of_what_was_cancelled_have_one_winner()
    {
        var winners = await RaceAsync(
            async (host, offer, random) =>
            {
                Assert.Equal(RunStates.Cancelling, await host.CancelAsync(offer.RunId));
                var (complete, resume) = await BothAsync(random, () => host.CompleteAsync(offer, output: "late"), () => host.ResumeAsync(offer.RunId));
                // The result is too late in any order; as the sign that the worker has stopped it decides whether there is anything to resume yet.
                Assert.Equal("run-ended", Assert.IsType<AttemptRefused>(complete).Code);
                if (resume is ResumeRunAccepted)
                    return "the result";
                Assert.Equal("run-cancelling", Assert.IsType<ResumeRunRefused>(resume).Code);
                var run = await host.ReadAsync(offer.RunId);
                Assert.Equal((RunStates.Cancelled, 0), (run.PublicState, run.Resumptions));
                return "the resumption";
            },
            async (host, offers) =>
            {
                foreach (var _ in offers.Where(o => o.Winner == "the result"))
                {
                    var again = await host.OfferAsync();
                    var (late, winner) = offers.Single(o => o.Offer.RunId == again.RunId);
                    Assert.Equal("the result", winner);
                    Assert.Equal("stale-fence", Assert.IsType<AttemptRefused>(await host.CompleteAsync(late, output: "late")).Code);
                    Assert.IsType<AttemptGranted>(await host.ClaimAsync(again, "compiler-2"));
                    Assert.IsType<AttemptCommitted>(await host.CompleteAsync(again, worker: "compiler-2", output: "of the resumption"));
                    var run = await host.ReadAsync(again.RunId);
                    Assert.Equal((RunStates.Succeeded, 1), (run.PublicState, run.Resumptions));
                    Assert.Equal(Runs.Artifact("of the resumption", "onnx"), run.Steps.Single().Outputs.Single());
                }
            });

        Assert.Equal(["the result", "the resumption"], winners);
    }

    private protected abstract Task<OrchestratorHost> StartAsync();

    /// <summary>Lets the lease on an attempt run out, or not, as the seed chooses.</summary>
    private protected abstract Task MayRunOutAsync(OrchestratorHost host, StepOffer offer, Random random);

    /// <summary>Starts both in the order, and with the head start, that the seed chooses.</summary>
    private static async Task<(TFirst First, TSecond Second)> BothAsync<TFirst, TSecond>(Random random, Func<Task<TFirst>> first, Func<Task<TSecond>> second)
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
        await using var host = await StartAsync();
        var winners = new List<string>();
        for (var wave = 0; wave < races / atOnce; wave++)
        {
            await host.AnnounceAsync("compiler", atOnce, "compiler/fuse");
            await Task.WhenAll(Enumerable.Range(0, atOnce).Select(_ => host.SubmitAsync(Runs.Of("compiler/fuse"))));
            var offers = new List<StepOffer>();
            while (offers.Count < atOnce)
                offers.Add(await host.OfferAsync());
            foreach (var claim in await Task.WhenAll(offers.Select(o => host.ClaimAsync(o))))
                Assert.IsType<AttemptGranted>(claim);
            var won = await Task.WhenAll(offers.Select((o, i) => race(host, o, new Random(wave * atOnce + i))));
            if (then is not null)
                await then(host, [.. offers.Zip(won)]);
            winners.AddRange(won);
        }
        await using var scope = host.Services.CreateAsyncScope();
        var rows = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
        await OrchestratorHost.UntilAsync(async () => !await rows.Set<OutboxMessage>().AnyAsync(TestContext.Current.CancellationToken));
        Assert.Empty(await Invariants.CheckAsync(rows, new InvariantScope { Quiet = true }, TestContext.Current.CancellationToken));
        Assert.Equal(races, winners.Count);
        output.WriteLine(string.Join(", ", winners.CountBy(w => w).OrderBy(w => w.Key).Select(w => $"{w.Value} times {w.Key}")));
        return [.. winners.Distinct().Order(StringComparer.Ordinal)];
    }
}
