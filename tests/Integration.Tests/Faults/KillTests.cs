using System.Diagnostics;
using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
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
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(2);
    private static readonly string[] Services = ["pipeline-api", "orchestrator", "artifact-store", "compiler", "installer"];
    private static readonly string[] Steps = ["compiler/fuse", "compiler/float16", "installer/bundle"];

    [Fact]
    public async Task Runs_end_once_and_right_while_services_are_killed()
    {
        // A step that meets one death after another must not fail for it: deaths are what this is about.
        var patient = new Dictionary<string, string> { ["Orchestrator__MaxAttempts"] = "100" };
        await using var faulty = await servers.StackAsync(environment: patient);
        var stack = faulty.Stack;
        foreach (var worker in (string[])["compiler", "installer"])
            await stack.StartServiceAsync(worker, "");
        var model = await stack.UploadAsync(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation));
        // In peace: what every run has to give.
        var expected = (await stack.EndedAsync([await AcceptedAsync(stack, model, "first")]))[0];
        Assert.Equal(RunStates.Succeeded, expected.State);

        var victims = Enumerable.Repeat(Services, KillsOfEach).SelectMany(s => s).ToArray();
        new Random(Seed).Shuffle(victims);
        var (runs, whileRunning, pids) = (new List<Guid>(), 0, new HashSet<int>());
        foreach (var victim in victims)
        {
            var since = Stopwatch.StartNew();
            for (var i = 0; i < RunsPerKill; i++)
                runs.Add(await AcceptedAsync(stack, model, $"run {runs.Count}"));
            var process = stack.Process(victim);
            var running = (long)(await servers.Database.ScalarAsync(faulty.DatabaseName, """SELECT count(*) FROM orchestrator.step_attempts WHERE "State" = 'running'"""))!;
            await stack.KillAsync(victim);
            Assert.True(!process.IsRunning && pids.Add(process.Pid), $"{victim} was not killed");
            whileRunning += running > 0 ? 1 : 0;
            await stack.StartServiceAsync(victim, "", victim == "orchestrator" ? patient : null);
            if (Every - since.Elapsed is { Ticks: > 0 } rest)
                await Task.Delay(rest, Stack.Cancellation);
        }

        Console.WriteLine($"seed {Seed}: {victims.Length} kills, {KillsOfEach} of each of {string.Join(", ", Services)}; {whileRunning} while a step ran");
        Assert.True(whileRunning >= 20, $"a step ran at {whileRunning} of {victims.Length} kills");
        // A few at a time, since the limit is for no progress and not for all of them.
        foreach (var some in runs.Chunk(20))
        {
            foreach (var run in await stack.EndedAsync(some))
            {
                Assert.True(run.State == RunStates.Succeeded, JsonSerializer.Serialize(run, ContractJson.Options));
                Assert.Equal(expected.Steps.Select(s => s.Outputs.Single().Digest), run.Steps.Select(s => s.Outputs.Single().Digest));
            }
        }
        Assert.Equal(Runs, runs.Distinct().Count());
        Assert.Equal(Runs + 1L, await servers.Database.ScalarAsync(faulty.DatabaseName, "SELECT count(*) FROM orchestrator.runs"));
        await faulty.HoldAsync(runs);
    }

    /// <summary>Submits until it is accepted, each time as the same request: a client cannot know whether the one before arrived.</summary>
    private static async Task<Guid> AcceptedAsync(Stack stack, string model, string key)
    {
        Guid? accepted = null;
        var last = "";
        await Stack.UntilAsync(
            async () =>
            {
                try
                {
                    using var answer = await stack.SubmitAsync(model, key, Steps);
                    last = $"{(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync(Stack.Cancellation)}";
                    if (answer.StatusCode == HttpStatusCode.Accepted)
                        accepted = (Guid)JsonNode.Parse(last[(last.IndexOf(':', StringComparison.Ordinal) + 1)..])!["id"]!;
                }
                catch (HttpRequestException e)
                {
                    last = e.Message;
                }
                return accepted is not null;
            },
            () => Task.FromResult($"the run is not accepted: {last}{stack.Outputs()}"));
        return accepted!.Value;
    }
}
