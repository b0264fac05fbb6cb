using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Faults;

/// <summary>F6: the disk of the broker and that of the artifact-store are full while runs are active.</summary>
public sealed class FullDiskTests(FaultServers servers) : IClassFixture<FaultServers>
{
    private const int Megabyte = 1 << 20;

    [Fact]
    public async Task A_broker_whose_disk_is_full_delays_runs_and_every_service_says_why()
    {
        await using var faulty = await servers.StackAsync();
        var stack = faulty.Stack;
        await stack.StartWorkersAsync(Worker());
        await stack.ReadyAsync();
        var model = await stack.UploadAsync("network");
        var runs = new List<Guid> { await stack.RunAsync(model, "tests/slow", "tests/slow") };

        // More than any disk has: the broker's own alarm.
        await servers.Broker.ControlAsync("set_disk_free_limit", "1000000GB");
        try
        {
            Assert.Contains("disk", await servers.Broker.ControlAsync("eval", "rabbit_alarm:get_alarms()."), StringComparison.Ordinal);
            // What is asked for meanwhile is accepted all the same.
            for (var i = 0; i < 3; i++)
                runs.Add(await stack.RunAsync(model, "tests/slow"));
            await Stack.UntilAsync(
                async () => (await stack.ReadinessAsync()).Missing.Any(m => m.Service == "message-bus" && m.Reason.Contains("low on disk", StringComparison.Ordinal)),
                async () => $"nobody says that the broker's disk is full: {string.Join(", ", (await stack.ReadinessAsync()).Missing)}{stack.Outputs()}");
            Assert.Contains("block", await servers.Broker.ControlAsync("list_connections", "--no-table-headers", "state"), StringComparison.Ordinal);
            Assert.DoesNotContain(RunStates.Succeeded, (await stack.GetAsync(runs[^1]))?.State ?? "");
        }
        finally
        {
            await servers.Broker.ControlAsync("set_disk_free_limit", "50MB");
        }

        await SucceedAsync(faulty, runs);
        await stack.ReadyAsync();
    }

    [Fact]
    public async Task An_artifact_store_whose_disk_is_full_refuses_with_507_keeps_nothing_half_and_runs_wait_for_room()
    {
        await using var faulty = await servers.NotStartedAsync();
        var stack = faulty.Stack;
        await using var disk = await SmallDisk.MountAsync(64, stack.Artifacts);
        foreach (var service in (string[])["orchestrator", "pipeline-api"])
            await stack.MigrateAsync(service);
        foreach (var service in ServicePrograms.ControlPlane)
            await stack.StartServiceAsync(service, "tests");
        await stack.StartWorkersAsync(Worker());
        await stack.ReadyAsync();
        var model = await stack.UploadAsync("network");
        var large = new byte[8 * Megabyte];
        new Random(6).NextBytes(large);
        using var begun = await stack.Http.PostAsync("v1/uploads?kind=onnx", null, Stack.Cancellation);
        var upload = (await begun.Content.ReadFromJsonAsync<UploadResource>(ContractJson.Options, Stack.Cancellation))!;
        using (var part = await AddAsync(stack, upload.Id, large, 0, Megabyte))
            Assert.Equal(HttpStatusCode.Accepted, part.StatusCode);

        disk.Fill();
        var run = await stack.RunAsync(model, "tests/slow");
        using (var refused = await stack.Http.PostAsync("v1/artifacts?kind=onnx", new ByteArrayContent(large), Stack.Cancellation))
            await FullAsync(refused);
        using (var refused = await AddAsync(stack, upload.Id, large, Megabyte, large.Length))
            await FullAsync(refused);
        Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(stack.Artifacts, ".incoming")));
        await Stack.UntilAsync(
            async () => (await stack.ReadinessAsync()).Missing.Any(m => m.Service == "artifact-store" && m.Reason.Contains("space left on device", StringComparison.OrdinalIgnoreCase)),
            async () => $"nobody says that the disk is full: {string.Join(", ", (await stack.ReadinessAsync()).Missing)}");
        await Stack.UntilAsync(
            async () => (await stack.GetAsync(run))?.Steps[0].Activity?.StartsWith("waiting for the artifact-store", StringComparison.Ordinal) == true,
            () => Task.FromResult("the step does not wait for room" + stack.Outputs()));

        disk.MakeRoom();
        var ended = (await stack.EndedAsync([run]))[0];
        Assert.Equal((RunStates.Succeeded, 1), (ended.State, ended.Steps[0].Attempts.Count));
        using (var resumed = await stack.Http.GetAsync($"v1/uploads/{upload.Id}", Stack.Cancellation))
            upload = (await resumed.Content.ReadFromJsonAsync<UploadResource>(ContractJson.Options, Stack.Cancellation))!;
        Assert.InRange(upload.Received, Megabyte, large.Length - 1);
        using (var part = await AddAsync(stack, upload.Id, large, (int)upload.Received, large.Length))
            Assert.Equal(HttpStatusCode.Accepted, part.StatusCode);
        var digest = Digests.FromHash(System.Security.Cryptography.SHA256.HashData(large));
        using (var stored = await stack.Http.PutAsync($"v1/uploads/{upload.Id}?digest={digest}", null, Stack.Cancellation))
            Assert.Equal(HttpStatusCode.Created, stored.StatusCode);
        await stack.ReadyAsync();
        await faulty.HoldAsync([run]);
    }

    private static async Task<HttpResponseMessage> AddAsync(Stack stack, string upload, byte[] content, int from, int to)
    {
        using var part = new ByteArrayContent(content, from, to - from);
        part.Headers.TryAddWithoutValidation("Content-Range", $"{from}-{to - 1}");
        part.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        return await stack.Http.PatchAsync($"v1/uploads/{upload}", part, Stack.Cancellation);
    }

    private static async Task FullAsync(HttpResponseMessage refused)
    {
        var problem = await refused.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Stack.Cancellation);
        Assert.Equal((HttpStatusCode.InsufficientStorage, "storage-full", "application/problem+json"), (refused.StatusCode, problem!.Code, refused.Content.Headers.ContentType!.MediaType));
    }

    internal static TestWorkerModule Worker() => new("tests", TestTransformer.AppendAfter(TimeSpan.FromSeconds(1), "tests/slow", "+slow"));

    internal static async Task SucceedAsync(FaultyStack faulty, IReadOnlyList<Guid> runs)
    {
        foreach (var some in runs.Chunk(20))
            Assert.All(await faulty.Stack.EndedAsync(some), run => Assert.Equal(RunStates.Succeeded, run.State));
        await faulty.HoldAsync(runs);
    }
}
