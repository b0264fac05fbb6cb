using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>The artifact-store goes away while steps need it: they wait for it and lose nothing of what they have done.</summary>
public sealed class ArtifactStoreTests(FaultServers servers) : IClassFixture<FaultServers>, IDisposable
{
    private readonly SemaphoreSlim _begun = new(0);
    private readonly SemaphoreSlim _goOn = new(0);

    public void Dispose()
    {
        _begun.Dispose();
        _goOn.Dispose();
    }

    [Fact]
    public async Task An_artifact_store_that_is_killed_while_a_step_runs_costs_no_attempt()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        var run = await HeldAsync(stack);
        var before = stack.Process("artifact-store").Pid;
        await stack.KillAsync("artifact-store");
        _goOn.Release();
        await WaitingAsync(stack, run);

        await stack.StartServiceAsync("artifact-store", "");

        Assert.NotEqual(before, stack.Process("artifact-store").Pid);
        await SucceedsAsync(faulty, run);
        await faulty.HoldAsync([run]);
    }

    [Fact]
    public async Task An_artifact_store_that_is_away_when_a_step_begins_costs_no_attempt_and_a_cancellation_does_not_wait_for_it()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        // There is one slot: the second begins when the first is gone.
        var first = await HeldAsync(stack);
        var second = await stack.RunAsync(await stack.UploadAsync("network"), "tests/held");
        await stack.KillAsync("artifact-store");
        _goOn.Release();
        await WaitingAsync(stack, first);
        await stack.CancelAsync(first);
        var cancelled = (await stack.EndedAsync([first]))[0];
        Assert.Equal((RunStates.Cancelled, AttemptStates.Cancelled), (cancelled.State, Assert.Single(cancelled.Steps[0].Attempts).State));
        await WaitingAsync(stack, second);

        await stack.StartServiceAsync("artifact-store", "");
        _goOn.Release();

        await SucceedsAsync(faulty, second);
        await faulty.HoldAsync([first, second]);
    }

    /// <summary>A run whose step has begun and goes on when it is let.</summary>
    private async Task<Guid> HeldAsync(Stack stack)
    {
        await stack.HostAsync(new Dictionary<string, string?> { ["Worker:Slots"] = "1" }, new TestWorkerModule("tests", new TestTransformer("tests/held", Hold)));
        await stack.ReadyAsync();
        var run = await stack.RunAsync(await stack.UploadAsync("network"), "tests/held");
        Assert.True(await _begun.WaitAsync(Stack.Limit, Stack.Cancellation), "the step does not begin" + stack.Outputs());
        return run;
    }

    private TransformResult Hold(TransformRequest request, IProgress<TransformProgress> progress, CancellationToken cancellation)
    {
        _begun.Release();
        _goOn.Wait(cancellation);
        return TestTransformer.Append("tests/held", "+held").Transform(request, progress, cancellation);
    }

    private static Task WaitingAsync(Stack stack, Guid run) => Stack.UntilAsync(
        async () => (await stack.GetAsync(run))?.Steps[0].Activity?.StartsWith("waiting for the artifact-store", StringComparison.Ordinal) == true,
        () => Task.FromResult("the step does not wait for the artifact-store" + stack.Outputs()));

    private static async Task SucceedsAsync(FaultyStack faulty, Guid run)
    {
        var ended = (await faulty.Stack.EndedAsync([run]))[0];
        Assert.Equal((RunStates.Succeeded, AttemptStates.Succeeded), (ended.State, Assert.Single(ended.Steps[0].Attempts).State));
    }
}
