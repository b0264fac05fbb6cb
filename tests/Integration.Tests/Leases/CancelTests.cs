using System.Collections.Concurrent;
using System.Diagnostics;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Leases;

/// <summary>A cancellation reaches the transformer that runs; how fast is told and not judged.</summary>
public sealed class CancelTests(FaultServers servers, ITestOutputHelper output) : IClassFixture<FaultServers>
{
    private const int Times = 20;

    [Fact]
    public async Task A_cancellation_reaches_the_transformer_that_runs()
    {
        // No heartbeat is due within the test: what stops the transformer is the order.
        await using var faulty = await servers.StackAsync(environment: new Dictionary<string, string> { ["Orchestrator__LeaseSeconds"] = "3600", ["Orchestrator__HeartbeatSeconds"] = "1200" });
        var stack = faulty.Stack;
        var stopped = new BlockingCollection<long>();
        using var begun = new SemaphoreSlim(0);
        await stack.StartWorkersAsync(new TestWorkerModule("tests", new TestTransformer("tests/wait", (_, _, cancellation) =>
        {
            begun.Release();
            cancellation.WaitHandle.WaitOne();
            stopped.Add(Stopwatch.GetTimestamp(), CancellationToken.None);
            throw new OperationCanceledException(cancellation);
        })));
        await stack.ReadyAsync();
        var model = await stack.UploadAsync("network");
        var (runs, latencies) = (new List<Guid>(), new List<TimeSpan>());
        for (var i = 0; i < Times; i++)
        {
            var run = await stack.RunAsync(model, "tests/wait");
            runs.Add(run);
            Assert.True(await begun.WaitAsync(Stack.Limit, Stack.Cancellation), "the step does not begin" + stack.Outputs());
            var asked = Stopwatch.GetTimestamp();
            await stack.CancelAsync(run);
            Assert.True(stopped.TryTake(out var at, (int)Stack.Limit.TotalMilliseconds, Stack.Cancellation), "the transformer is not stopped" + stack.Outputs());
            latencies.Add(Stopwatch.GetElapsedTime(asked, at));
            Assert.Equal(RunStates.Cancelled, (await stack.EndedAsync([run]))[0].State);
        }

        latencies.Sort();
        var words = $"from POST /v1/runs/ID/cancel to the transformer's token, {Times} times: p50 {latencies[Times / 2].TotalMilliseconds:F0} ms, largest {latencies[^1].TotalMilliseconds:F0} ms";
        output.WriteLine(words);
        Console.WriteLine($"{nameof(CancelTests)}: {words}");
        foreach (var run in runs)
        {
            var events = await servers.Database.ScalarAsync(faulty.DatabaseName, $"""SELECT string_agg("Type", ' ' ORDER BY "Sequence") FROM orchestrator.run_events WHERE "RunId" = '{run}'""");
            Assert.EndsWith("io.tinymlaas.step.started.v1 io.tinymlaas.run.cancelling.v1 io.tinymlaas.run.cancelled.v1", (string)events!, StringComparison.Ordinal);
        }
        await faulty.HoldAsync(runs);
    }
}
