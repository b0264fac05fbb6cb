using System.Collections.Concurrent;
using System.Globalization;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>
/// Runs of the control plane in virtual time, each with the faults that its seed chooses. <c>./test simulation --seeds N</c> runs N of them, and
/// <c>./test simulation --seed S</c> one again, with all that happened at its end.
/// </summary>
public sealed class SimulationTests(ITestOutputHelper output)
{
    private const int Seeds = 500;

    public static TheoryData<string, string> Bugs() => new()
    {
        { nameof(FenceIsNotChecked), "I3" },
        { nameof(RepeatedResultIsAccepted), "I2" },
        { nameof(ClaimTakesAnothersLease), "I2" },
        { nameof(LeasesNeverExpire), "I1" },
        { nameof(OffersNeverExpire), "I1" },
        { nameof(CancellationIsForgotten), "I1" },
        { nameof(EventIsNotWritten), "I4" },
        { nameof(FinishedStepsAreRepeated), "I2" },
        { nameof(EndedRunsGoOn), "I1" },
    };

    [Fact]
    public async Task Every_run_ends_once_and_every_invariant_holds_whatever_goes_wrong()
    {
        var chosen = Environment.GetEnvironmentVariable("TINYML_SEED") is { Length: > 0 } one
            ? [int.Parse(one, CultureInfo.InvariantCulture)]
            : Enumerable.Range(1, Environment.GetEnvironmentVariable("TINYML_SEEDS") is { Length: > 0 } count ? int.Parse(count, CultureInfo.InvariantCulture) : Seeds).ToArray();
        var results = new ConcurrentBag<SimulationResult>();
        await Parallel.ForEachAsync(chosen, TestContext.Current.CancellationToken, async (seed, _) => results.Add(await Simulation.RunAsync(seed)));

        var runs = results.SelectMany(r => r.Ends).GroupBy(e => e.Key, e => e.Value).ToDictionary(g => g.Key, g => g.Sum());
        output.WriteLine($"{chosen.Length} seeds, {runs.Values.Sum()} runs ({string.Join(", ", runs.OrderBy(r => r.Key).Select(r => $"{r.Value} {r.Key}"))}), {results.Sum(r => r.Steps)} messages to the orchestrator in {results.Sum(r => r.Took.TotalHours):F1} hours of virtual time");
        output.WriteLine($"trace of all: {Trace.HashOf(results.OrderBy(r => r.Seed).Select(r => r.Hash))}");
        foreach (var kind in Enum.GetValues<Fault>())
            output.WriteLine($"{results.Sum(r => r.Faults.GetValueOrDefault(kind)),7} {kind}");
        if (chosen is [var single])
            output.WriteLine($"seed {single}: {results.Single().Hash}\n{string.Concat(results.Single().Last)}");

        var broken = results.Where(r => r.Violations.Count > 0).OrderBy(r => r.Seed).ToArray();
        Assert.True(broken.Length == 0, string.Join('\n', broken.Take(5).Select(r =>
            $"seed {r.Seed} (repeat it: ./test simulation --seed {r.Seed}):\n{string.Join('\n', r.Violations)}\nthe last that happened:\n{string.Concat(r.Last)}")));
        // That nothing broke says something only if everything was done that could break it.
        if (chosen.Length >= 100)
            Assert.DoesNotContain(Enum.GetValues<Fault>(), kind => results.All(r => !r.Faults.ContainsKey(kind)));
    }

    [Fact]
    public async Task A_seed_always_gives_the_same_and_another_one_something_else()
    {
        var hashes = new List<string>();
        foreach (var seed in Enumerable.Range(1, 5))
        {
            var (first, second) = (await Simulation.RunAsync(seed), await Simulation.RunAsync(seed));
            Assert.True(first.Steps > 10, $"seed {seed} has {first.Steps} steps");
            Assert.Equal((first.Hash, first.Steps), (second.Hash, second.Steps));
            hashes.Add(first.Hash);
        }
        Assert.Equal(hashes.Count, hashes.Distinct().Count());
    }

    [Theory]
    [MemberData(nameof(Bugs))]
    public async Task Finds_a_planted_bug(string bug, string rule)
    {
        var type = typeof(PlantedBug).Assembly.GetType($"{typeof(PlantedBug).Namespace}.{bug}")!;
        for (var seed = 1; seed <= Seeds; seed++)
        {
            var result = await Simulation.RunAsync(seed, (PlantedBug)Activator.CreateInstance(type)!);
            if (result.Violations.FirstOrDefault(v => v.Rule == rule) is not { } found)
                continue;
            output.WriteLine($"found by seed {seed}: {found}");
            return;
        }
        Assert.Fail($"{Seeds} seeds did not find it.");
    }
}
