using System.Diagnostics;
using System.Globalization;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Operations;

/// <summary>F26: under load and faults of every kind no service grows. Ten minutes, so only where every test is asked for.</summary>
public sealed class SoakTests(FaultServers servers) : IClassFixture<FaultServers>
{
    private const int OnTheirWay = 4;
    private const double Most = 1.05;
    private const int SamplesOfEach = 12;
    private static readonly TimeSpan WarmUp = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Between = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan BetweenSamples = TimeSpan.FromSeconds(4);
    private static readonly string[] Measured = ["orchestrator", "pipeline-api", "artifact-store", "installer"];

    // What grows for other reasons than a leak is taken away: a collection gives back what it frees, large objects too, code is compiled once and not again when it is used more,
    // and threads share what the C library keeps for the next allocation.
    private static readonly Dictionary<string, string> Environment = new()
    {
        ["Orchestrator__MaxAttempts"] = "100", ["DOTNET_GCConserveMemory"] = "9", ["DOTNET_TieredCompilation"] = "0", ["MALLOC_ARENA_MAX"] = "1",
    };

    private readonly Random _random = new(LongTests.Seed);
    private readonly Dictionary<string, int> _broken = new(StringComparer.Ordinal);

    [Fact(Explicit = true)]
    public async Task No_service_has_grown_after_ten_minutes_of_faults()
    {
        await using var faulty = await servers.StackAsync(options: Environment);
        var stack = faulty.Stack;
        foreach (var worker in (string[])["compiler", "installer"])
            await stack.StartServiceAsync(worker, "", Environment);
        await using var load = SteadyLoad.Start(stack, await stack.UploadAsync(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation)), OnTheirWay, "compiler/fuse", "installer/bundle");
        var pids = Measured.ToDictionary(s => s, s => stack.Process(s).Pid);

        // Each kind of fault there has been before what is compared, so that all code of theirs is loaded; and both times in peace, under the same load.
        await BreakAsync(faulty, WarmUp);
        var early = await MeasureAsync(faulty, pids);
        await BreakAsync(faulty, Between);
        var late = await MeasureAsync(faulty, pids);

        var runs = await load.StopAsync();
        Assert.Equal(pids, Measured.ToDictionary(s => s, s => stack.Process(s).Pid));
        Console.WriteLine($"{string.Join(", ", _broken.Select(f => $"{f.Key}: {f.Value}"))}; {runs.Count} runs");
        foreach (var (what, value) in late)
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what}: {early[what]:0.0} -> {value:0.0} ({(value / early[what] - 1) * 100:+0.0;-0.0} %)"));
        foreach (var some in runs.Chunk(20))
            Assert.All(await stack.EndedAsync(some), run => Assert.Equal(RunStates.Succeeded, run.State));
        await faulty.HoldAsync(runs);
        // Of a few handles or connections one more is over five in a hundred; two are growth.
        Assert.All(late, value => Assert.True(value.Value <= Math.Max(early[value.Key] * Most, early[value.Key] + 1), $"{value.Key} has grown from {early[value.Key]} to {value.Value}"));
    }

    /// <summary>One fault after the other, in an order of chance, each at least once.</summary>
    private async Task BreakAsync(FaultyStack faulty, TimeSpan duration)
    {
        var stack = faulty.Stack;
        var faults = new Dictionary<string, Func<Task>>
        {
            ["a worker was killed"] = async () =>
            {
                await stack.KillAsync("compiler");
                await stack.StartServiceAsync("compiler", "");
            },
            ["a worker stood still"] = async () =>
            {
                await stack.Process("installer").SignalAsync("STOP");
                await Task.Delay(TimeSpan.FromSeconds(8), Stack.Cancellation);
                await stack.Process("installer").SignalAsync("CONT");
            },
            ["the broker closed all connections"] = () => servers.Broker.ControlAsync("close_all_connections", "-p", faulty.VirtualHost, "as the test wants it"),
            ["the broker was killed"] = async () =>
            {
                await servers.Broker.KillAsync();
                await servers.Broker.StartAgainAsync();
            },
            ["the database ended all sessions"] = () => servers.Database.ScalarAsync(
                "postgres", $"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{faulty.DatabaseName}'"),
            ["the database crashed"] = async () =>
            {
                await servers.Database.StopImmediatelyAsync();
                await servers.Database.StartAgainAsync();
            },
        };
        for (var since = Stopwatch.StartNew(); since.Elapsed < duration;)
        {
            var round = faults.Keys.ToArray();
            _random.Shuffle(round);
            foreach (var fault in round)
            {
                await Task.Delay(TimeSpan.FromSeconds(5 + _random.NextDouble() * 10), Stack.Cancellation);
                await faults[fault]();
                _broken[fault] = _broken.GetValueOrDefault(fault) + 1;
            }
        }
    }

    /// <summary>What each needs in peace: the least of some samples, since what has been lost for good is in each of them.</summary>
    private async Task<IReadOnlyDictionary<string, double>> MeasureAsync(FaultyStack faulty, Dictionary<string, int> pids)
    {
        // All but the worker of other tests, which this stack has been told to expect.
        await Stack.UntilAsync(
            async () => (await faulty.Stack.ReadinessAsync()).Missing.All(m => m.Service == "tests"),
            async () => string.Join(", ", (await faulty.Stack.ReadinessAsync()).Missing) + faulty.Stack.Outputs());
        await Task.Delay(Settling, Stack.Cancellation);
        var samples = new List<IReadOnlyDictionary<string, double>>();
        while (samples.Count < SamplesOfEach)
        {
            await Task.Delay(BetweenSamples, Stack.Cancellation);
            samples.Add(await SampleAsync(faulty, pids));
        }
        return samples[0].Keys.ToDictionary(what => what, what => samples.Min(s => s[what]));
    }

    /// <summary>What there is now, after all garbage is collected.</summary>
    private async Task<IReadOnlyDictionary<string, double>> SampleAsync(FaultyStack faulty, Dictionary<string, int> pids)
    {
        var values = new Dictionary<string, double>();
        foreach (var (service, pid) in pids)
        {
            await GarbageCollection.CollectAsync(pid);
            var status = await File.ReadAllLinesAsync($"/proc/{pid}/status", Stack.Cancellation);
            // Without the files of programs, which are loaded when they are first needed and stay.
            values[$"memory of {service}, MB"] = double.Parse(status.Single(l => l.StartsWith("RssAnon:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) / 1024;
            values[$"handles of {service}"] = Directory.GetFileSystemEntries($"/proc/{pid}/fd").Count(f => new FileInfo(f).LinkTarget?.EndsWith(".dll", StringComparison.Ordinal) != true);
        }
        values["connections to the broker"] = (await File.ReadAllLinesAsync("/proc/net/tcp", Stack.Cancellation)).Skip(1).Concat((await File.ReadAllLinesAsync("/proc/net/tcp6", Stack.Cancellation)).Skip(1))
            .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Count(c => c[2].EndsWith($":{servers.Broker.Port:X4}", StringComparison.Ordinal) && c[3] == "01");
        values["connections to the database"] = (long)(await servers.Database.ScalarAsync("postgres", $"SELECT count(*) FROM pg_stat_activity WHERE datname = '{faulty.DatabaseName}'"))!;
        return values;
    }
}
