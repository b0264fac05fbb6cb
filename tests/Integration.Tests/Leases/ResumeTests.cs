using System.Net;
using System.Net.Http.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Leases;

/// <summary>A run that failed goes on over real servers, also when the orchestrator is killed in between.</summary>
public sealed class ResumeTests(FaultServers servers) : IClassFixture<FaultServers>
{
    [Fact]
    public async Task A_failed_run_goes_on_from_its_failed_step_after_the_cause_is_gone()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        var (first, second, broken) = (0, 0, true);
        await stack.StartWorkersAsync(new TestWorkerModule(
            "tests",
            new TestTransformer("tests/first", (request, progress, cancellation) =>
            {
                Interlocked.Increment(ref first);
                return TestTransformer.Append("tests/first", "+a").Transform(request, progress, cancellation);
            }),
            new TestTransformer("tests/second", (request, progress, cancellation) =>
            {
                Interlocked.Increment(ref second);
                if (Volatile.Read(ref broken))
                    throw new TransformRejectedException("no-disk", "The disk of the test is full.");
                return TestTransformer.Append("tests/second", "+b").Transform(request, progress, cancellation);
            })));
        await stack.ReadyAsync();
        var run = await stack.RunAsync(await stack.UploadAsync("network"), "tests/first", "tests/second");
        var failed = (await stack.EndedAsync([run]))[0];
        Assert.Equal((RunStates.Failed, "no-disk"), (failed.State, failed.Failure!.Code));

        Volatile.Write(ref broken, false);
        var (before, key) = (stack.Process("orchestrator").Pid, Guid.NewGuid().ToString());
        Assert.Equal(HttpStatusCode.Accepted, await ResumeAsync(stack, run, key));
        await stack.KillAsync("orchestrator");
        await stack.StartServiceAsync("orchestrator", "");
        Assert.NotEqual(before, stack.Process("orchestrator").Pid);
        var ended = (await stack.EndedAsync([run]))[0];

        Assert.Equal((RunStates.Succeeded, 1), (ended.State, ended.Resumptions));
        Assert.Equal((1, failed.Steps[0].Outputs[0]), (first, ended.Steps[0].Outputs[0]));
        Assert.True(second >= 2, $"The second step ran {second} times.");
        Assert.Equal(ended.Steps.SelectMany(s => s.Attempts).Select(a => a.Fence).Order(), ended.Steps.SelectMany(s => s.Attempts).Select(a => a.Fence));
        // The request again changes nothing; another one is refused.
        Assert.Equal(HttpStatusCode.Accepted, await ResumeAsync(stack, run, key));
        Assert.Equal(HttpStatusCode.Conflict, await ResumeAsync(stack, run, Guid.NewGuid().ToString()));
        Assert.Equal(1, (await stack.GetAsync(run))!.Resumptions);
        await faulty.HoldAsync([run]);
    }

    private static async Task<HttpStatusCode> ResumeAsync(Stack stack, Guid run, string key)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"v1/runs/{run}/resume");
        request.Headers.Add("Idempotency-Key", key);
        using var answer = await stack.Http.SendAsync(request, Stack.Cancellation);
        if (answer.StatusCode == HttpStatusCode.Conflict)
            Assert.Equal("run-succeeded", (await answer.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Stack.Cancellation))!.Code);
        return answer.StatusCode;
    }
}
