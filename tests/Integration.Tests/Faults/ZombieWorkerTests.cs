using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Compiler;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Stacks;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>F7: a worker that stands still past its lease and then goes on as if nothing had been.</summary>
public sealed class ZombieWorkerTests(FaultServers servers) : IClassFixture<FaultServers>
{
    [Fact]
    public async Task A_worker_that_wakes_up_after_its_lease_commits_nothing()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        await stack.StartServiceAsync("compiler", "", new Dictionary<string, string> { ["Worker__Slots"] = "1" });
        var model = await stack.UploadAsync(await File.ReadAllBytesAsync(Samples.Model, Stack.Cancellation));
        // One after the other on one slot, so that one of them runs at any moment.
        var runs = new List<Guid>();
        await Stack.UntilAsync(
            async () =>
            {
                using var answer = await stack.SubmitAsync(model, "first", "compiler/fuse");
                return answer.IsSuccessStatusCode;
            },
            () => Task.FromResult("the compiler is not announced" + stack.Outputs()));
        for (var i = 0; i < 12; i++)
            runs.Add(await stack.RunAsync(model, "compiler/fuse"));
        var zombie = stack.Process("compiler");

        await Stack.UntilAsync(async () => await RunningAsync() is not null, () => Task.FromResult("no step runs" + stack.Outputs()));
        await zombie.SignalAsync("STOP");
        // It may have ended just before; then the next one has not begun, and nothing stands still: go on until something does.
        while (await RunningAsync() is null)
        {
            await zombie.SignalAsync("CONT");
            await Stack.UntilAsync(async () => await RunningAsync() is not null, () => Task.FromResult("no step runs" + stack.Outputs()));
            await zombie.SignalAsync("STOP");
        }
        var held = (await RunningAsync())!.Value;
        Assert.Contains(") T ", await File.ReadAllTextAsync($"/proc/{zombie.Pid}/stat", Stack.Cancellation), StringComparison.Ordinal);
        await Stack.UntilAsync(
            async () => await AttemptsAsync(held, "lost") == 1L,
            async () => $"the lease does not run out: {await AttemptsAsync(held, "running")} attempts run{stack.Outputs()}");
        await stack.StartWorkersAsync(new CompilerModule());
        await stack.EndedAsync([held]);
        await zombie.SignalAsync("CONT");

        Assert.All(await stack.EndedAsync(runs), run => Assert.Equal(RunStates.Succeeded, run.State));
        Assert.Equal((1L, 1L), (await AttemptsAsync(held, "lost"), await AttemptsAsync(held, "succeeded")));
        await faulty.HoldAsync(runs);

        async Task<Guid?> RunningAsync() => (Guid?)await servers.Database.ScalarAsync(faulty.DatabaseName, """SELECT "RunId" FROM orchestrator.step_attempts WHERE "State" = 'running' LIMIT 1""");

        async Task<long> AttemptsAsync(Guid run, string state) =>
            (long)(await servers.Database.ScalarAsync(faulty.DatabaseName, $"""SELECT count(*) FROM orchestrator.step_attempts WHERE "RunId" = '{run}' AND "State" = '{state}'"""))!;
    }
}
