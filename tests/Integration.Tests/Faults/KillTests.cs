using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>Some service or other is killed all the time, and nothing is lost.</summary>
public sealed class KillTests(FaultServers servers) : IClassFixture<FaultServers>
{
    private const int Seed = 20;
    private const int Runs = 200;
    private const int KillsOfEach = 8;
    private const int RunsPerKill = Runs / (KillsOfEach * 5);
    private const int OnTheirWay = 10;
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(5);
    private static readonly string[] Services = ["pipeline-api", "orchestrator", "artifact-store", "compiler", "installer"];
    private static readonly string[] Steps = ["compiler/fuse", "compiler/float16", "installer/bundle"];

    // A step that meets one death after another must not fail for it: deaths are what this is about.
    private static readonly Dictionary<string, string> Patient = new() { ["Orchestrator__MaxAttempts"] = "100" };

    [Fact]
    public async Task Runs_end_once_and_right_while_services_are_killed()
    {
        await using var faulty = await StartAsync();
        var stack = faulty.Stack;
        var model = await UploadAsync(stack);
        var expected = await InPeaceAsync(stack, model);
        var script = Script(stack, Seed);
        var (runs, whileRunning) = (new List<Guid>(), 0);

        await script.KillEachAsync(Services, KillsOfEach, Every, async () =>
        {
            for (var i = 0; i < RunsPerKill; i++)
                runs.Add(await stack.AcceptedAsync(model, $"run {runs.Count}", Steps));
            var running = (long)(await servers.Database.ScalarAsync(faulty.DatabaseName, """SELECT count(*) FROM orchestrator.step_attempts WHERE "State" = 'running'"""))!;
            whileRunning += running > 0 ? 1 : 0;
        });

        Console.WriteLine($"{script}; {whileRunning} while a step ran");
        Assert.All(Services, service => Assert.Equal(KillsOfEach, script.Kills[service]));
        Assert.True(whileRunning >= 20, $"a step ran at {whileRunning} of {KillsOfEach * Services.Length} kills");
        Assert.Equal(Runs, runs.Distinct().Count());
        await EndedRightAsync(faulty, runs, expected);
    }

    /// <summary>F2: for a minute, and for ten where every test is asked for.</summary>
    [Fact]
    public async Task Runs_end_once_and_right_while_services_are_killed_at_any_time()
    {
        await using var faulty = await StartAsync();
        var stack = faulty.Stack;
        var model = await UploadAsync(stack);
        var expected = await InPeaceAsync(stack, model);
        var script = Script(stack, LongTests.Seed);
        await using var load = SteadyLoad.Start(stack, model, OnTheirWay, Steps);

        await script.KillForAsync(Services, LongTests.Kills, Shortest, Longest);

        var runs = await load.StopAsync();
        Console.WriteLine($"{script} in {LongTests.Kills.TotalMinutes} min; {runs.Count} runs");
        // At least so many, however slow the machine.
        Assert.All(Services, service => Assert.True(script.Kills[service] >= LongTests.Kills.TotalMinutes, $"{service} was hardly killed: {script}"));
        Assert.True(runs.Count >= Services.Length, $"{runs.Count} runs were accepted");
        await EndedRightAsync(faulty, runs, expected);
    }

    private static KillScript Script(Stack stack, int seed) =>
        new(stack, seed, new Dictionary<string, IReadOnlyDictionary<string, string>> { ["orchestrator"] = Patient });

    private async Task<FaultyStack> StartAsync()
    {
        var faulty = await servers.StackAsync(environment: Patient);
        foreach (var worker in (string[])["compiler", "installer"])
            await faulty.Stack.StartServiceAsync(worker, "");
        return faulty;
    }

    private static async Task<string> UploadAsync(Stack stack) => await stack.UploadAsync(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation));

    /// <summary>What every run has to give.</summary>
    private static async Task<RunResource> InPeaceAsync(Stack stack, string model)
    {
        var expected = (await stack.EndedAsync([await stack.AcceptedAsync(model, "first", Steps)]))[0];
        Assert.Equal(RunStates.Succeeded, expected.State);
        return expected;
    }

    private async Task EndedRightAsync(FaultyStack faulty, IReadOnlyList<Guid> runs, RunResource expected)
    {
        // A few at a time, since the limit is for no progress and not for all of them.
        foreach (var some in runs.Chunk(20))
        {
            foreach (var run in await faulty.Stack.EndedAsync(some))
            {
                Assert.True(run.State == RunStates.Succeeded, JsonSerializer.Serialize(run, ContractJson.Options));
                Assert.Equal(expected.Steps.Select(s => s.Outputs.Single().Digest), run.Steps.Select(s => s.Outputs.Single().Digest));
            }
        }
        Assert.Equal(runs.Count + 1L, await servers.Database.ScalarAsync(faulty.DatabaseName, "SELECT count(*) FROM orchestrator.runs"));
        await faulty.HoldAsync(runs);
    }
}
