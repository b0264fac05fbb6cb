using System.Net;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Garbage;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.Services.Tests.Accounts;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.PipelineApi;

namespace TinyMLaaS.Services.Tests.Garbage;

/// <summary>All services with runs that have run: what they refer to stays.</summary>
public sealed class GarbageCollectionTests : IDisposable
{
    private static readonly TimeSpan Retention = TimeSpan.FromHours(24);

    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Removes_what_nothing_of_its_tenant_refers_to_and_nothing_else()
    {
        var (server, operatorKey) = await AccountsUnderTest.StartWithKeyAsync(_folder);
        await using var running = server;
        var keys = new Dictionary<string, string>();
        var kept = new List<(string Tenant, string Digest, string Text)>();
        foreach (var tenant in (string[])["tenant-a", "tenant-b"])
        {
            keys[tenant] = (await server.CreateKeyAsync(operatorKey, tenant, Scopes.OfTenant)).Key!;
            var mine = await server.PossessAsync(keys[tenant], tenant, tenant);
            var report = (string)(await server.JsonAsync(HttpMethod.Get, $"/v1/runs/{mine.Run}/steps/1", keys[tenant]))["report"]!["digest"]!;
            foreach (var digest in (string[])[mine.Artifact, mine.Data, mine.Output, report])
                kept.Add((tenant, digest, await ReadAsync(server, keys[tenant], digest)));
        }
        // What somebody else refers to is no reference; what was referred to and what never was are garbage.
        var foreign = await StoreAsync(server, keys["tenant-b"], "network of tenant-a");
        var never = await StoreAsync(server, keys["tenant-a"], "never used");
        await server.JsonAsync(HttpMethod.Post, "/v1/datasets", keys["tenant-a"], new { name = "deleted", artifact = await StoreAsync(server, keys["tenant-a"], "deleted", "dataset") });
        Age();
        var young = await StoreAsync(server, keys["tenant-a"], "just stored");
        using (var deleted = await server.SendAsync(HttpMethod.Delete, "/v1/datasets/deleted", keys["tenant-a"]))
            Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);

        var garbage = (long)("network of tenant-a".Length + "never used".Length);

        var looked = await CollectAsync(server, dryRun: true);
        Assert.Equal((true, 2, garbage), (looked.DryRun, looked.Removed, looked.Bytes));
        Assert.Equal("never used", await ReadAsync(server, keys["tenant-a"], never));
        Age("deleted", "just stored");

        var done = await CollectAsync(server, dryRun: false);

        Assert.Equal((false, 2, garbage), (done.DryRun, done.Removed, done.Bytes));
        Assert.Equal(done.Unused, done.Referenced + done.Removed);
        foreach (var (tenant, digest) in (IEnumerable<(string, string)>)[("tenant-b", foreign), ("tenant-a", never)])
        {
            using var gone = await server.SendAsync(HttpMethod.Get, $"/v1/artifacts/{digest}", keys[tenant]);
            Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);
        }
        foreach (var (tenant, digest, text) in kept)
            Assert.Equal(text, await ReadAsync(server, keys[tenant], digest));
        Assert.Equal("just stored", await ReadAsync(server, keys["tenant-a"], young));
        // The deletion was the last use; once that is long ago too, it goes.
        Age();
        Assert.Equal(2, (await CollectAsync(server, dryRun: false)).Removed);
        Assert.Equal(0, (await CollectAsync(server, dryRun: false)).Removed);
        foreach (var (tenant, digest, text) in kept)
            Assert.Equal(text, await ReadAsync(server, keys[tenant], digest));
    }

    [Fact]
    public async Task Nothing_is_removed_while_somebody_who_may_refer_to_artifacts_is_away()
    {
        await using var api = await ApiUnderTest.StartAsync(_folder, without: "orchestrator");
        var artifact = await api.UploadAsync("who knows");
        Age();
        await using var scope = api.Services.CreateAsyncScope();

        var refused = await Assert.ThrowsAsync<ServiceUnavailableException>(() => scope.ServiceProvider.GetRequiredService<GarbageCollection>().CollectAsync(Retention, dryRun: false, Cancellation));

        Assert.Equal("orchestrator", refused.Service);
        Assert.Equal("who knows", await api.Http.GetStringAsync($"/v1/artifacts/{artifact.Digest}", Cancellation));
    }

    private static async Task<GarbageReport> CollectAsync(AccountsUnderTest server, bool dryRun)
    {
        await using var scope = server.Services.CreateAsyncScope();
        return await scope.ServiceProvider.GetRequiredService<GarbageCollection>().CollectAsync(Retention, dryRun, Cancellation);
    }

    private static async Task<string> StoreAsync(AccountsUnderTest server, string key, string text, string kind = "onnx") =>
        (string)(await server.JsonAsync(HttpMethod.Post, $"/v1/artifacts?kind={kind}", key, text))["digest"]!;

    private static async Task<string> ReadAsync(AccountsUnderTest server, string key, string digest)
    {
        using var answer = await server.SendAsync(HttpMethod.Get, $"/v1/artifacts/{digest}", key);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return await answer.Content.ReadAsStringAsync(Cancellation);
    }

    /// <summary>Nobody has used anything for two days.</summary>
    private void Age(params string[] except)
    {
        var old = TimeProvider.System.GetUtcNow().UtcDateTime.AddDays(-2);
        foreach (var file in Directory.EnumerateFiles(_folder["artifacts"], "*.*", SearchOption.AllDirectories).Where(f => f.Contains("sha256", StringComparison.Ordinal)))
        {
            if (!except.Contains(File.ReadAllText(Path.ChangeExtension(file, null))))
                File.SetLastWriteTimeUtc(file, old);
        }
    }
}
