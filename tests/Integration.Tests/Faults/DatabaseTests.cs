using System.Net;
using System.Net.Http.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>F5: the database goes away and throws everyone out while runs are active.</summary>
public sealed class DatabaseTests(FaultServers servers) : IClassFixture<FaultServers>
{
    [Fact]
    public async Task A_database_that_crashes_and_comes_back_loses_no_run_and_the_api_says_what_is_missing()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        var (model, runs) = await ActiveAsync(stack);
        var before = servers.Database.Pid;

        await servers.Database.StopImmediatelyAsync();
        using (var refused = await stack.SubmitAsync(model, null, "tests/a"))
        {
            var problem = await refused.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Stack.Cancellation);
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "service-unavailable", "application/problem+json"), (refused.StatusCode, problem!.Code, refused.Content.Headers.ContentType!.MediaType));
        }
        // What it announces cannot be noted yet.
        await stack.StartWorkersAsync(new TestWorkerModule("late", TestTransformer.Append("late/c", "+c")));
        await servers.Database.StartAgainAsync();

        Assert.NotEqual(before, servers.Database.Pid);
        // What was refused can be asked for again, and what was announced is known.
        await AcceptedAsync(stack, model, "tests/a");
        await AcceptedAsync(stack, model, "late/c");
        await SucceedAsync(faulty, runs);
    }

    [Fact]
    public async Task Sessions_that_are_ended_again_and_again_lose_no_run()
    {
        await using var faulty = await servers.StackAsync();
        var (_, runs) = await ActiveAsync(faulty.Stack);
        var ended = 0L;

        // A service has few sessions at a time and makes new ones as it needs them.
        for (var i = 0; i < 20 || ended < 20; i++)
        {
            ended += (long)(await servers.Database.ScalarAsync("postgres", $"SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{faulty.DatabaseName}'"))!;
            await Task.Delay(100, Stack.Cancellation);
        }

        Assert.InRange(ended, 20, long.MaxValue);
        await SucceedAsync(faulty, runs);
    }

    private static async Task<(string Model, List<Guid> Runs)> ActiveAsync(Stack stack)
    {
        await stack.StartWorkersAsync(new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a"), TestTransformer.Append("tests/b", "+b")));
        await stack.ReadyAsync();
        var model = await stack.UploadAsync("network");
        var runs = new List<Guid>();
        for (var i = 0; i < 10; i++)
            runs.Add(await stack.RunAsync(model, "tests/a", "tests/b"));
        return (model, runs);
    }

    private static Task AcceptedAsync(Stack stack, string model, string uses) => Stack.UntilAsync(
        async () =>
        {
            using var answer = await stack.SubmitAsync(model, $"{uses} after the crash", uses);
            return answer.StatusCode == HttpStatusCode.Accepted;
        },
        () => Task.FromResult($"no run of {uses} is accepted{stack.Outputs()}"));

    private static async Task SucceedAsync(FaultyStack faulty, List<Guid> runs)
    {
        Assert.All(await faulty.Stack.EndedAsync(runs), run => Assert.Equal(RunStates.Succeeded, run.State));
        await faulty.HoldAsync(runs);
    }
}
