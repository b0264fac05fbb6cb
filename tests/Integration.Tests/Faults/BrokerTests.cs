using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>F3, F4 and F13: the broker goes away, drops everyone, forgets everything, and loses queues and permissions, while runs are active.</summary>
public sealed class BrokerTests(FaultServers servers) : IClassFixture<FaultServers>, IDisposable
{
    private readonly TinyMLaaS.Services.Tests.Hosting.TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_broker_that_is_killed_delays_runs_and_loses_none()
    {
        await using var faulty = await servers.StackAsync();
        var runs = await ActiveAsync(faulty.Stack, 5);
        var before = servers.Broker.Pid;

        await servers.Broker.KillAsync();
        // What is asked for while it is away is accepted all the same.
        var model = await faulty.Stack.UploadAsync("network");
        for (var i = 0; i < 3; i++)
            runs.Add(await faulty.Stack.RunAsync(model, "tests/slow"));
        await servers.Broker.StartAgainAsync();

        Assert.NotEqual(before, servers.Broker.Pid);
        await SucceedAsync(faulty, runs);
    }

    [Fact]
    public async Task A_worker_that_is_told_to_stop_while_the_broker_is_away_stops_in_order()
    {
        await using var faulty = await servers.StackAsync();
        await faulty.Stack.StartWorkersAsync(new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a")));
        await faulty.Stack.ReadyAsync();

        await servers.Broker.KillAsync();
        await faulty.Stack.StopWorkersAsync();

        await servers.Broker.StartAgainAsync();
    }

    [Fact]
    public async Task Connections_that_are_closed_are_made_again()
    {
        await using var faulty = await servers.StackAsync();
        var runs = await ActiveAsync(faulty.Stack, 5);
        var before = await ConnectionsAsync(faulty);
        Assert.NotEmpty(before);

        await servers.Broker.ControlAsync("close_all_connections", "-p", faulty.VirtualHost, "as the test wants it");

        await SucceedAsync(faulty, runs);
        Assert.Empty((await ConnectionsAsync(faulty)).Intersect(before));
    }

    [Fact]
    public async Task A_broker_that_is_stopped_for_a_while_delays_runs_and_loses_none()
    {
        await using var faulty = await servers.StackAsync();
        var runs = await ActiveAsync(faulty.Stack, 5);

        await servers.Broker.ControlAsync("stop_app");
        await Task.Delay(TimeSpan.FromSeconds(20), Stack.Cancellation);
        Assert.NotEmpty((await faulty.Stack.ReadinessAsync()).Missing);
        await servers.Broker.ControlAsync("start_app");

        await SucceedAsync(faulty, runs);
    }

    [Fact]
    public async Task A_broker_that_lost_everything_loses_no_run()
    {
        await using var faulty = await servers.StackAsync(hosted: false);
        var runs = await ActiveAsync(faulty.Stack, 8);
        Assert.Contains("v1.orchestrator.runs", await faulty.QueuesAsync(), StringComparison.Ordinal);

        await servers.Broker.KillAsync();
        servers.Broker.DeleteData();
        await servers.Broker.StartAgainAsync();

        await SucceedAsync(faulty, runs);
    }

    [Fact]
    public async Task A_queue_that_is_deleted_is_made_again_and_what_it_held_is_asked_for_again()
    {
        await using var faulty = await servers.StackAsync();
        var runs = await ActiveAsync(faulty.Stack, 5);

        foreach (var queue in (string[])["v1.orchestrator.runs", "v1.offer.any.tests"])
        {
            await servers.Broker.ControlAsync("delete_queue", "-p", faulty.VirtualHost, queue);
            await Stack.UntilAsync(
                async () => (await faulty.QueuesAsync()).Split('\n').Any(l => l.StartsWith(queue + "\t", StringComparison.Ordinal)),
                async () => $"{queue} is not there again: {await faulty.QueuesAsync()}{faulty.Stack.Outputs()}");
        }

        await SucceedAsync(faulty, runs);
    }

    [Fact]
    public async Task Permissions_that_are_taken_away_are_missed_and_used_again_when_they_are_back()
    {
        await using var faulty = await servers.StackAsync();
        var runs = await ActiveAsync(faulty.Stack, 5);

        await servers.Broker.ControlAsync("clear_permissions", "-p", faulty.VirtualHost, "guest");
        await servers.Broker.ControlAsync("close_all_connections", "-p", faulty.VirtualHost, "as the test wants it");
        await Stack.UntilAsync(
            async () => (await faulty.Stack.ReadinessAsync()).Missing.Any(m => m.Service == "message-bus"), () => Task.FromResult("nobody misses the broker" + faulty.Stack.Outputs()));
        await servers.Broker.ControlAsync("set_permissions", "-p", faulty.VirtualHost, "guest", ".*", ".*", ".*");

        await SucceedAsync(faulty, runs);
    }

    [Fact]
    public async Task A_password_that_is_changed_is_missed_within_a_minute_and_every_process_goes_on_with_the_new_one_in_its_file()
    {
        var file = _folder["password"];
        await File.WriteAllTextAsync(file, "guest", Stack.Cancellation);
        await using var faulty = await servers.StackAsync(brokerPasswordFile: file);
        var runs = await ActiveAsync(faulty.Stack, 5);
        var before = Processes(faulty.Stack);
        try
        {
            await servers.Broker.ControlAsync("change_password", "guest", "another");
            await servers.Broker.ControlAsync("close_all_connections", "-p", faulty.VirtualHost, "as the test wants it");
            var missed = System.Diagnostics.Stopwatch.StartNew();
            await RefusedAsync(faulty.Stack);
            Assert.InRange(missed.Elapsed, TimeSpan.Zero, TimeSpan.FromMinutes(1));

            await File.WriteAllTextAsync(file, "another\n", Stack.Cancellation);

            await SucceedAsync(faulty, runs);
            await faulty.Stack.ReadyAsync();
            Assert.Equal(before, Processes(faulty.Stack));
            Assert.DoesNotContain("another", faulty.Stack.Process("orchestrator").Output, StringComparison.Ordinal);
            // Said once, however often it was tried.
            Assert.Single(faulty.Stack.Process("orchestrator").Output.Split('\n'), l => l.Contains("The message bus cannot be used.", StringComparison.Ordinal));
        }
        finally
        {
            await servers.Broker.ControlAsync("change_password", "guest", "guest");
        }
    }

    [Fact]
    public async Task A_user_that_is_missing_for_a_while_is_let_in_again_when_it_is_back()
    {
        await using var faulty = await servers.StackAsync();
        var runs = await ActiveAsync(faulty.Stack, 5);
        var before = Processes(faulty.Stack);

        await servers.Broker.ControlAsync("delete_user", "guest");
        try
        {
            await servers.Broker.ControlAsync("close_all_connections", "-p", faulty.VirtualHost, "as the test wants it");
            await RefusedAsync(faulty.Stack);
        }
        finally
        {
            await servers.Broker.ControlAsync("add_user", "guest", "guest");
            await servers.Broker.ControlAsync("set_user_tags", "guest", "administrator");
            foreach (var host in (string[])["/", faulty.VirtualHost])
                await servers.Broker.ControlAsync("set_permissions", "-p", host, "guest", ".*", ".*", ".*");
        }

        await SucceedAsync(faulty, runs);
        Assert.Equal(before, Processes(faulty.Stack));
    }

    private static int[] Processes(Stack stack) => [stack.Process("orchestrator").Pid, stack.Process("pipeline-api").Pid];

    private static Task RefusedAsync(Stack stack) => Stack.UntilAsync(
        async () => (await stack.ReadinessAsync()).Missing.Any(m => m.Service == "message-bus" && m.Reason.Contains("refuses user 'guest'", StringComparison.Ordinal)),
        () => Task.FromResult("nobody says that the broker refuses" + stack.Outputs()));

    private static async Task<List<Guid>> ActiveAsync(Stack stack, int count)
    {
        await stack.StartWorkersAsync(Worker());
        await stack.ReadyAsync();
        var model = await stack.UploadAsync("network");
        var runs = new List<Guid>();
        for (var i = 0; i < count; i++)
            runs.Add(await stack.RunAsync(model, "tests/slow", "tests/slow"));
        await Stack.UntilAsync(async () => (await stack.GetAsync(runs[0]))?.State == RunStates.Running, () => Task.FromResult("no run begins" + stack.Outputs()));
        return runs;
    }

    private static TestWorkerModule Worker() => new("tests", TestTransformer.AppendAfter(TimeSpan.FromSeconds(1), "tests/slow", "+slow"));

    private async Task<string[]> ConnectionsAsync(FaultyStack faulty) =>
        (await servers.Broker.ControlAsync("list_connections", "--no-table-headers", "pid", "vhost")).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(l => l.Split('\t')).Where(c => c is [_, var host] && host == faulty.VirtualHost).Select(c => c[0]).ToArray();

    private static async Task SucceedAsync(FaultyStack faulty, List<Guid> runs)
    {
        Assert.All(await faulty.Stack.EndedAsync(runs), run => Assert.Equal(RunStates.Succeeded, run.State));
        await faulty.HoldAsync(runs);
    }
}
