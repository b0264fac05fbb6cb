using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>F1: the orchestrator dies at each point between taking a message and acknowledging it.</summary>
public sealed class OrchestratorCrashTests(FaultServers servers) : IClassFixture<FaultServers>
{
    private const int Runs = 5;

    public static TheoryData<string> Points() => ["inbox-inserted", "before-commit", "after-commit", "between-publishes", "before-acknowledge"];

    [Theory]
    [MemberData(nameof(Points))]
    public async Task Every_run_ends_once_when_the_orchestrator_is_killed(string point)
    {
        // Some messages in, so that runs are at different places.
        await using var faulty = await servers.StackAsync(environment: new Dictionary<string, string> { ["TINYML_FAILURE_POINT"] = $"{point}:9" });
        var stack = faulty.Stack;
        await stack.StartWorkersAsync(new TestWorkerModule("tests", TestTransformer.Append("tests/a", "+a"), TestTransformer.Append("tests/b", "+b")));
        await stack.ReadyAsync();
        var model = await stack.UploadAsync("network");
        var dying = stack.Process("orchestrator");

        var runs = new List<Guid>();
        for (var i = 0; i < Runs; i++)
            runs.Add(await stack.RunAsync(model, "tests/a", "tests/b"));
        await Stack.UntilAsync(() => Task.FromResult(!dying.IsRunning), () => Task.FromResult($"the orchestrator does not die at {point}{stack.Outputs()}"));
        await stack.StartServiceAsync("orchestrator", "tests");

        var ended = await stack.EndedAsync(runs);
        Assert.NotEqual(dying.Pid, stack.Process("orchestrator").Pid);
        Assert.All(ended, run => Assert.Equal(RunStates.Succeeded, run.State));
        Assert.All(ended, run => Assert.Equal(Services.Tests.Orchestrator.Runs.Artifact("network+a+b", "onnx").Digest, run.Steps[1].Outputs.Single().Digest));
        await faulty.HoldAsync(runs);
    }
}
