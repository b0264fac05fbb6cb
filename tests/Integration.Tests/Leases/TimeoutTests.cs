using System.Text.Json.Nodes;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Leases;

/// <summary>What bounds runs, with limits of seconds that really pass; and a cancellation that comes before anything ran.</summary>
public sealed class TimeoutTests(FaultServers servers) : IClassFixture<FaultServers>, IDisposable
{
    // The end of the time that it is waited for and the end of the attempt's time are one moment.
    private static readonly string[] Over = [AttemptStates.Lost, AttemptStates.Failed];

    private readonly SemaphoreSlim _begun = new(0);
    private readonly SemaphoreSlim _stopped = new(0);
    private readonly SemaphoreSlim _goOn = new(0);

    public void Dispose()
    {
        _begun.Dispose();
        _stopped.Dispose();
        _goOn.Dispose();
    }

    [Fact]
    public async Task Each_limit_ends_what_it_bounds_and_frees_the_slot()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        await HostAsync(stack);
        var model = await stack.UploadAsync("network");

        var attempt = await stack.RunAsync(model, Document(""" "timeouts":{"attempt":"2s"},"retry":{"attempts":2,"backoff":"1s"} """));
        var ended = (await stack.EndedAsync([attempt]))[0];
        Assert.Equal((RunStates.Failed, "attempt-timeout"), (ended.State, ended.Failure!.Code));
        Assert.Equal([(AttemptStates.Failed, "attempt-timeout"), (AttemptStates.Failed, "attempt-timeout")], ended.Steps[0].Attempts.Select(a => (a.State, a.Failure!.Code)));
        await WaitAsync(_stopped, "the first attempt is not stopped", stack);
        await WaitAsync(_stopped, "the second attempt is not stopped", stack);

        var total = await stack.RunAsync(model, JsonNode.Parse("""{"timeouts":{"total":"4s"},"steps":[{"uses":"tests/held"}]}""")!);
        ended = (await stack.EndedAsync([total]))[0];
        Assert.Equal((RunStates.Failed, "total-timeout"), (ended.State, ended.Failure!.Code));
        // A machine may be so slow that nothing has begun by then.
        Assert.Contains(ended.Steps[0].State, (string[])[StepStates.Cancelled, StepStates.Skipped]);

        // There is one slot, and this one has it, which shows that those before gave it back.
        while (await _begun.WaitAsync(0, Stack.Cancellation))
        {
        }
        var holder = await stack.RunAsync(model, "tests/held");
        await WaitAsync(_begun, "no step begins any more", stack);
        var queue = await stack.RunAsync(model, Document(""" "timeouts":{"queue":"2s"} """));
        var unwanted = await stack.RunAsync(model, "tests/held");
        await Stack.UntilAsync(async () => (await stack.GetAsync(unwanted))?.Steps[0].State == StepStates.Pending, () => Task.FromResult("the step does not wait" + stack.Outputs()));
        await stack.CancelAsync(unwanted);
        var others = await stack.EndedAsync([queue, unwanted]);
        Assert.Equal((RunStates.Failed, "queue-timeout", 0), (others[0].State, others[0].Failure!.Code, others[0].Steps[0].Attempts.Count));
        Assert.Equal((RunStates.Cancelled, StepStates.Cancelled, 0), (others[1].State, others[1].Steps[0].State, others[1].Steps[0].Attempts.Count));

        await stack.CancelAsync(holder);
        Assert.Equal(RunStates.Cancelled, (await stack.EndedAsync([holder]))[0].State);
        await faulty.HoldAsync([attempt, total, holder, queue, unwanted]);
    }

    [Fact]
    public async Task A_worker_that_is_silent_is_waited_for_or_not_as_the_step_says()
    {
        await using var relay = new TcpRelay(servers.Broker.Port);
        await using var faulty = await servers.StackAsync();
        try
        {
            await BeSilentAsync(faulty, relay);
        }
        finally
        {
            // However it ends, the worker can end in order.
            relay.Thaw();
        }
    }

    private async Task BeSilentAsync(FaultyStack faulty, TcpRelay relay)
    {
        var stack = faulty.Stack;
        await HostAsync(stack, faulty.BrokerAddress.Replace($":{servers.Broker.Port}/", $":{relay.Port}/", StringComparison.Ordinal));
        var model = await stack.UploadAsync("network");

        // Waited for: the same attempt goes on when the worker is heard of again, and its result counts.
        var waited = await SilentAsync(""" "on-lease-lost":"wait","timeouts":{"heartbeat":"5s"} """);
        await SeenAsync(waited, step => step.Activity?.StartsWith("waiting for tests-", StringComparison.Ordinal) == true, "nobody waits for the worker");
        _goOn.Release();
        relay.Thaw();
        var ended = (await stack.EndedAsync([waited]))[0];
        Assert.Equal((RunStates.Succeeded, AttemptStates.Succeeded), (ended.State, Assert.Single(ended.Steps[0].Attempts).State));

        // Waited for in vain: when the attempt's time is over another one begins.
        var given = await SilentAsync(""" "on-lease-lost":"wait","timeouts":{"heartbeat":"5s","attempt":"12s"},"retry":{"backoff":"1s"} """);
        await SeenAsync(given, step => step.Attempts is [var first, ..] && Over.Contains(first.State), "the worker is waited for without end");
        relay.Thaw();
        await WaitAsync(_stopped, "the attempt that took too long is not stopped", stack);
        await WaitAsync(_begun, "the step does not begin again", stack);
        _goOn.Release();
        ended = (await stack.EndedAsync([given]))[0];
        Assert.Equal(RunStates.Succeeded, ended.State);
        Assert.Equal(AttemptStates.Succeeded, ended.Steps[0].Attempts[^1].State);
        Assert.True(ended.Steps[0].Attempts.Count > 1);

        // Not waited for: the step fails, and the worker is told when it is heard of again.
        var failed = await SilentAsync(""" "on-lease-lost":"fail","timeouts":{"heartbeat":"5s"} """);
        ended = (await stack.EndedAsync([failed]))[0];
        Assert.Equal((RunStates.Failed, "heartbeat-timeout", AttemptStates.Lost), (ended.State, ended.Failure!.Code, Assert.Single(ended.Steps[0].Attempts).State));
        relay.Thaw();
        await WaitAsync(_stopped, "the worker is not told that its attempt is lost", stack);
        await faulty.HoldAsync([waited, given, failed]);

        // A run whose attempt runs on a worker of which nothing is heard any more.
        async Task<Guid> SilentAsync(string step)
        {
            var run = await stack.RunAsync(model, Document(step));
            await WaitAsync(_begun, "the step does not begin", stack);
            relay.Freeze();
            return run;
        }

        Task SeenAsync(Guid run, Func<StepResource, bool> condition, string otherwise) => Stack.UntilAsync(
            async () => await stack.GetAsync(run) is { } seen && condition(seen.Steps[0]),
            async () => $"{otherwise}: {System.Text.Json.JsonSerializer.Serialize(await stack.GetAsync(run))}{stack.Outputs()}");
    }

    [Fact]
    public async Task A_run_that_is_cancelled_before_the_orchestrator_has_it_never_begins()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        await HostAsync(stack);
        var model = await stack.UploadAsync("network");
        var before = stack.Process("orchestrator").Pid;
        await stack.KillAsync("orchestrator");

        var run = await stack.RunAsync(model, "tests/held");
        await stack.CancelAsync(run);
        await stack.StartServiceAsync("orchestrator", "");

        Assert.NotEqual(before, stack.Process("orchestrator").Pid);
        var ended = (await stack.EndedAsync([run]))[0];
        Assert.Equal((RunStates.Cancelled, 0), (ended.State, ended.Steps[0].Attempts.Count));
        Assert.Equal(0, _begun.CurrentCount);
        await faulty.HoldAsync([run]);
    }

    /// <summary>One step with these words about it.</summary>
    private static JsonNode Document(string step) => JsonNode.Parse($$"""{"steps":[{"uses":"tests/held",{{step}}}]}""")!;

    private async Task HostAsync(Stack stack, string? broker = null)
    {
        var options = new Dictionary<string, string?> { ["Worker:Slots"] = "1" };
        if (broker is not null)
            options["Bus:Address"] = broker;
        await stack.HostAsync(options, new TestWorkerModule("tests", new TestTransformer("tests/held", Hold)));
        await stack.ReadyAsync();
    }

    private TransformResult Hold(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        _begun.Release();
        try
        {
            _goOn.Wait(cancellation);
        }
        catch (OperationCanceledException)
        {
            _stopped.Release();
            throw;
        }
        return TestTransformer.Append("tests/held", "+held").Transform(request, progress, cancellation);
    }

    private static async Task WaitAsync(SemaphoreSlim signal, string otherwise, Stack stack) =>
        Assert.True(await signal.WaitAsync(Stack.Limit, Stack.Cancellation), otherwise + stack.Outputs());
}
