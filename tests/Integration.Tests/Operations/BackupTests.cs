using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Npgsql;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Integration.Tests.Stacks;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.Services.Tests.ArtifactStore;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.WorkerHost;

namespace TinyMLaaS.Integration.Tests.Operations;

/// <summary>F24: a backup taken under load comes back into an empty installation, and the runs go on there.</summary>
public sealed class BackupTests(FaultServers servers) : IClassFixture<FaultServers>, IDisposable
{
    private const int RunsBefore = 10;
    private static readonly TimeSpan ScriptLimit = TimeSpan.FromMinutes(5);
    private readonly TinyMLaaS.Services.Tests.Hosting.TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Every_run_that_was_accepted_before_a_backup_ends_once_where_it_is_restored()
    {
        IReadOnlyList<Guid> before;
        string kept;
        await using (var original = await servers.StackAsync())
        {
            var stack = original.Stack;
            await stack.StartWorkersAsync(Worker());
            await stack.ReadyAsync();
            await using var load = SteadyLoad.Start(stack, await stack.UploadAsync("network"), 6, "tests/a", "tests/b");
            await load.MoreAsync(RunsBefore);
            var named = await NamedAsync(stack);
            before = load.Accepted;

            // A dump takes long, and garbage collection does not wait for it.
            var backup = BackupAsync(original, afterDump: _folder["dumped"], until: _folder["collected"]);
            await Stack.UntilAsync(() => Task.FromResult(File.Exists(_folder["dumped"]) || backup.IsCompleted), () => Task.FromResult("the database is not dumped"));
            await CollectedAsync(original, named);
            await File.WriteAllTextAsync(_folder["collected"], "", Stack.Cancellation);
            Console.WriteLine((await backup).Trim());

            kept = named;
            await load.StopAsync();
        }

        await using var restored = await servers.NotStartedAsync();
        Console.WriteLine((await RunAsync("restore", restored)).Trim());
        foreach (var service in (string[])["orchestrator", "pipeline-api"])
            await restored.Stack.MigrateAsync(service);
        foreach (var service in ServicePrograms.ControlPlane)
            await restored.Stack.StartServiceAsync(service, "tests");
        var open = (long)(await servers.Database.ScalarAsync(restored.DatabaseName, """SELECT count(*) FROM orchestrator.runs WHERE "EndedAt" IS NULL"""))!;
        Assert.True(open > 0, "no run was on its way when the database was dumped");
        await restored.Stack.StartWorkersAsync(Worker());
        await restored.Stack.ReadyAsync();

        // Those of the dump that were accepted while it was made as well.
        var ids = (await servers.Database.ScalarAsync(restored.DatabaseName, """SELECT string_agg("RunId"::text, ',') FROM pipeline_api.accepted_runs""") as string)!.Split(',').Select(Guid.Parse).ToArray();
        Assert.Empty(before.Except(ids));
        foreach (var some in ids.Chunk(20))
            Assert.All(await restored.Stack.EndedAsync(some), run => Assert.Equal(RunStates.Succeeded, run.State));
        await restored.HoldAsync(ids);
        // What the dump still refers to is there, although it was collected before the backup ended.
        using var answer = await restored.Stack.Http.GetAsync($"v1/artifacts/{kept}", Stack.Cancellation);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("named", await answer.Content.ReadAsStringAsync(Stack.Cancellation));
        using var dataset = await restored.Stack.Http.GetAsync("v1/datasets/named", Stack.Cancellation);
        Assert.Equal(HttpStatusCode.OK, dataset.StatusCode);
        // Nothing that is there is overwritten.
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => RunAsync("restore", restored));
        Assert.Contains("A backup comes back into an empty installation only", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_artifact_that_is_damaged_is_left_out_of_a_backup_and_named_and_a_damaged_backup_is_not_restored()
    {
        await using var original = await servers.StackAsync();
        var (good, bad) = (await original.Stack.UploadAsync("good"), await original.Stack.UploadAsync("bad"));
        await File.WriteAllTextAsync(original.ArtifactPath("default", bad), "bat", Stack.Cancellation);

        var said = await Assert.ThrowsAsync<InvalidOperationException>(() => RunAsync("backup", original));
        Assert.Contains($"{bad["sha256:".Length..]}' is damaged and is left out", said.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(good["sha256:".Length..], said.Message, StringComparison.Ordinal);
        // Good again, the same folder takes what it lacks.
        await original.Stack.UploadAsync("bad");
        Assert.Contains("with 2 artifacts", await RunAsync("backup", original), StringComparison.Ordinal);

        var copy = Directory.GetFiles(Path.Combine(_folder["backup"], "artifacts"), bad["sha256:".Length..], SearchOption.AllDirectories).Single();
        await File.WriteAllTextAsync(copy, "bat", Stack.Cancellation);
        await using var restored = await servers.NotStartedAsync();
        said = await Assert.ThrowsAsync<InvalidOperationException>(() => RunAsync("restore", restored));
        Assert.Contains("these artifacts of the backup are damaged", said.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(restored.Stack.Artifacts));
    }

    [Fact]
    public async Task Images_have_their_names_again_as_they_were_at_the_backup()
    {
        var (first, second) = (new ImageFile("factory/keywords:1", layerBytes: 1000), new ImageFile("factory/keywords:1", layerBytes: 2000));
        await using var original = await servers.StackAsync();
        await StoreAsync(original.Stack, first);
        await PushAsync(original.Stack, first, "stable");
        await RunAsync("backup", original);
        // Names change, and the next backup has the new ones.
        await StoreAsync(original.Stack, second);
        await PushAsync(original.Stack, second, "stable");
        await Task.Delay(TimeSpan.FromSeconds(1.1), Stack.Cancellation); // Backups are told apart by the second.
        await RunAsync("backup", original);

        await using var restored = await servers.NotStartedAsync();
        await RunAsync("restore", restored);
        foreach (var service in (string[])["orchestrator", "pipeline-api"])
            await restored.Stack.MigrateAsync(service);
        foreach (var service in ServicePrograms.ControlPlane)
            await restored.Stack.StartServiceAsync(service, "tests");

        await Stack.UntilAsync(async () => (await restored.Stack.Http.GetAsync("v2/default/factory/keywords/manifests/1", Stack.Cancellation)).IsSuccessStatusCode, () => Task.FromResult("the image is not there"));
        Assert.Equal(second.Blob(second.Digest), await restored.Stack.Http.GetByteArrayAsync("v2/default/factory/keywords/manifests/1", Stack.Cancellation));
        Assert.Equal(second.Blob(second.Digest), await restored.Stack.Http.GetByteArrayAsync("v2/default/mirror/manifests/stable", Stack.Cancellation));
        Assert.Equal(first.Blob(first.Digest), await restored.Stack.Http.GetByteArrayAsync($"v2/default/mirror/manifests/{first.Digest}", Stack.Cancellation));
        Assert.Equal(second.Blob(second.FirstLayer), await restored.Stack.Http.GetByteArrayAsync($"v2/default/mirror/blobs/{second.FirstLayer}", Stack.Cancellation));
    }

    private static async Task StoreAsync(Stack stack, ImageFile image)
    {
        using var stored = await stack.Http.PostAsync("v1/artifacts?kind=oci-image", new ByteArrayContent(image.Write()), Stack.Cancellation);
        Assert.Equal(HttpStatusCode.Created, stored.StatusCode);
    }

    // All that it is made of is there.
    private static async Task PushAsync(Stack stack, ImageFile image, string tag)
    {
        using var manifest = new ByteArrayContent(image.Blob(image.Digest)) { Headers = { ContentType = new(ImageFile.Manifest) } };
        using var put = await stack.Http.PutAsync($"v2/default/mirror/manifests/{tag}", manifest, Stack.Cancellation);
        Assert.Equal(HttpStatusCode.Created, put.StatusCode);
    }

    private static TestWorkerModule Worker() => new("tests", Slow("tests/a"), Slow("tests/b"));

    private static TestTransformer Slow(string name) => TestTransformer.AppendAfter(TimeSpan.FromMilliseconds(300), name, name);

    /// <summary>A dataset; the digest of its bytes.</summary>
    private static async Task<string> NamedAsync(Stack stack)
    {
        using var stored = await stack.Http.PostAsync("v1/artifacts?kind=dataset", new StringContent("named"), Stack.Cancellation);
        var digest = (string)(await stored.Content.ReadFromJsonAsync<JsonNode>(Stack.Cancellation))!["digest"]!;
        using var created = await stack.Http.PostAsJsonAsync("v1/datasets", new { name = "named", artifact = digest }, Stack.Cancellation);
        created.EnsureSuccessStatusCode();
        return digest;
    }

    /// <summary>Nothing refers to the dataset any more, and its bytes are collected.</summary>
    private static async Task CollectedAsync(FaultyStack faulty, string digest)
    {
        using var deleted = await faulty.Stack.Http.DeleteAsync("v1/datasets/named", Stack.Cancellation);
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        // As if the dump took days: the deletion was the last use.
        File.SetLastWriteTimeUtc($"{faulty.ArtifactPath("default", digest)}.dataset", DateTimeOffset.UtcNow.UtcDateTime - TimeSpan.FromDays(2));
        await faulty.Stack.RunVerbAsync("pipeline-api", "collect-garbage", "24");
        Assert.False(File.Exists(faulty.ArtifactPath("default", digest)), "the dataset was not collected");
    }

    /// <summary>Takes a backup that stands still after its dump until a file is there.</summary>
    private async Task<string> BackupAsync(FaultyStack faulty, string afterDump, string until)
    {
        var programs = Directory.CreateDirectory(_folder["programs"]).FullName;
        var slow = Path.Combine(programs, "pg_dump");
        await File.WriteAllTextAsync(slow, $"#!/bin/bash\nset -e\n/usr/bin/pg_dump \"$@\"\ntouch '{afterDump}'\nuntil [[ -e '{until}' ]]; do sleep 0.1; done\n", Stack.Cancellation);
        await ServerProcess.RunAsync("chmod", ["u+x", slow]);
        return await RunAsync("backup", faulty, $"{programs}:{Environment.GetEnvironmentVariable("PATH")}");
    }

    private Task<string> RunAsync(string script, FaultyStack faulty, string? path = null)
    {
        var connection = new NpgsqlConnectionStringBuilder(faulty.Connection);
        Directory.CreateDirectory(faulty.Stack.Artifacts);
        return ServerProcess.RunAsync(
            Repository.Path($"infra/backup/{script}"), [_folder["backup"]],
            new Dictionary<string, string>
            {
                ["PGHOST"] = connection.Host!,
                ["PGPORT"] = connection.Port.ToString(CultureInfo.InvariantCulture),
                ["PGUSER"] = connection.Username!,
                ["PGPASSWORD"] = connection.Password!,
                ["PGDATABASE"] = connection.Database!,
                ["TINYMLAAS_ARTIFACTS"] = faulty.Stack.Artifacts,
                ["PATH"] = path ?? Environment.GetEnvironmentVariable("PATH")!,
            },
            patience: ScriptLimit);
    }
}
