using System.Text.RegularExpressions;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.EndToEnd.Tests;
using TinyMLaaS.Integration.Tests.Servers;
using TinyMLaaS.Integration.Tests.Stacks;

namespace TinyMLaaS.Integration.Tests.Telemetry;

/// <summary>What a worker told before it died stays, and who follows a log gets each line once whatever dies meanwhile.</summary>
public sealed partial class StepLogTests(ServersInUse use) : IClassFixture<ServersInUse>
{
    [Fact]
    public async Task A_log_survives_its_worker_and_is_followed_without_gap_or_repeat()
    {
        await using var stack = await Stack.StartAsync(await use.Servers.NewVirtualHostAsync(), await use.Servers.NewDatabaseAsync(), "noop");
        await stack.StartNoOpAsync();
        await stack.ReadyAsync();
        var run = await stack.RunAsync(await stack.UploadAsync("network"), "noop/wait");
        var followed = TinymlCommand.RunAsync(Stack.Cancellation, "logs", run.ToString(), "--follow", "--server", stack.Url.ToString());

        await LinesAsync(stack, run, 1);
        var first = await stack.Http.GetStringAsync($"v1/runs/{run}/steps/1/logs", Stack.Cancellation);
        await stack.KillAsync("noop");
        await stack.StartNoOpAsync();
        await LinesAsync(stack, run, 2);
        // Who passes the log on and who keeps it die as well.
        await stack.KillAsync("orchestrator");
        await stack.KillAsync("pipeline-api");
        await stack.StartServiceAsync("orchestrator", "");
        await stack.StartServiceAsync("pipeline-api", "noop");
        await stack.ReadyAsync();
        await stack.CancelAsync(run);
        Assert.Equal(RunStates.Cancelled, (await stack.EndedAsync([run]))[0].State);

        var log = await stack.Http.GetStringAsync($"v1/runs/{run}/steps/1/logs", Stack.Cancellation);
        Assert.StartsWith(first, log, StringComparison.Ordinal);
        var attempts = (await stack.GetAsync(run))!.Steps[0].Attempts.Count;
        Assert.Equal(Enumerable.Range(1, attempts).Select(n => $"noop/wait 1, attempt {n},"), Begins().Matches(log).Select(m => m.Value));
        Assert.Equal(attempts, log.Split('\n').Count(line => line.Contains(" process ", StringComparison.Ordinal)));
        Assert.EndsWith(" stopped\n", log, StringComparison.Ordinal);
        Assert.Equal(log, (await followed).Expect(0).Output);
    }

    /// <summary>Waits until so many attempts have said who they are.</summary>
    private static Task LinesAsync(Stack stack, Guid run, int attempts)
    {
        var log = "";
        return Stack.UntilAsync(
            async () =>
            {
                // Until the run is taken on, which is 503.
                using var answer = await stack.Http.GetAsync($"v1/runs/{run}/steps/1/logs", Stack.Cancellation);
                log = await answer.Content.ReadAsStringAsync(Stack.Cancellation);
                return answer.IsSuccessStatusCode && log.Split('\n').Count(line => line.Contains(" process ", StringComparison.Ordinal)) >= attempts;
            },
            () => Task.FromResult(log + stack.Outputs()));
    }

    [GeneratedRegex("noop/wait 1, attempt [0-9]+,")]
    private static partial Regex Begins();
}
