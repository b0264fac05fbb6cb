using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Garbage;
using TinyMLaaS.Services.Tests.Accounts;
using TinyMLaaS.Services.Tests.ArtifactStore;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.Garbage;

/// <summary>
/// What garbage collection takes of the registry, and what it never takes: a manifest that was pushed stays with all that it is made of until it is deleted; a packaged image goes with its file.
/// </summary>
public sealed class RegistryGarbageTests : IAsyncLifetime
{
    private const string Repository = "default/pushed";
    private const string Packaged = "default/factory/keywords";
    private static readonly TimeSpan Retention = TimeSpan.FromHours(24);

    private readonly TemporaryFolder _folder = new();
    private AccountsUnderTest _api = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _api = await AccountsUnderTest.StartAsync(_folder, requireKey: false);

    public async ValueTask DisposeAsync()
    {
        await _api.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task What_was_pushed_stays_until_its_manifest_is_deleted_and_goes_then()
    {
        var (image, other) = (new ImageFile("a:1", platforms: 2), new ImageFile("b:1"));
        await PushAsync(image, "1");
        await PushAsync(other, "2");
        // The tag moves away: what it meant stays by its digest.
        await PutAsync(Repository, "1", other.Blob(other.Digest), ImageFile.Manifest);
        // A layer that nobody's manifest needs, as an interrupted push leaves it.
        var lost = await PushBlobAsync("left over"u8.ToArray());
        Age();

        var report = await CollectAsync();

        Assert.Equal((1, "left over".Length), (report.Removed, (int)report.Bytes));
        Assert.Equal(HttpStatusCode.NotFound, await StatusAsync($"/v2/{Repository}/blobs/{lost}"));
        await PulledAsync(image, Repository, image.Digest);
        await PulledAsync(other, Repository, "1");

        await DeleteAsync($"/v2/{Repository}/manifests/{image.Digest}");
        foreach (var child in ImageFile.Json(image.Blob(image.Digest))["manifests"]!.AsArray())
            await DeleteAsync($"/v2/{Repository}/manifests/{(string)child!["digest"]!}");
        Age();
        Assert.Equal(image.Blobs.Except(other.Blobs).Count(), (await CollectAsync()).Removed);
        Assert.Equal(HttpStatusCode.NotFound, await StatusAsync($"/v2/{Repository}/blobs/{image.FirstLayer}"));
        await PulledAsync(other, Repository, "2");
    }

    [Fact]
    public async Task A_manifest_of_an_index_stays_with_the_index()
    {
        var image = new ImageFile("a:1", platforms: 2);
        await PushAsync(image, "1");
        Age();

        Assert.Equal(0, (await CollectAsync()).Removed);

        await PulledAsync(image, Repository, "1");
    }

    [Fact]
    public async Task A_packaged_image_goes_with_its_file_and_a_push_of_it_keeps_the_file()
    {
        var (kept, gone) = (new ImageFile("factory/keywords:1", layerBytes: 1000), new ImageFile("factory/keywords:2", layerBytes: 2000));
        await StoreAsync(kept);
        await StoreAsync(gone);
        await PutAsync(Packaged, "stable", kept.Blob(kept.Digest), ImageFile.Manifest);
        Age();

        Assert.Equal(1, (await CollectAsync()).Removed);

        await PulledAsync(kept, Packaged, "1");
        await PulledAsync(kept, Packaged, "stable");
        Assert.Equal(HttpStatusCode.NotFound, await StatusAsync($"/v2/{Packaged}/manifests/2"));
        Assert.Equal(HttpStatusCode.NotFound, await StatusAsync($"/v2/{Packaged}/blobs/{gone.FirstLayer}"));
        Assert.Equal("[\"1\",\"stable\"]", JsonNode.Parse(await _api.Http.GetStringAsync($"/v2/{Packaged}/tags/list", Cancellation))!["tags"]!.ToJsonString());
    }

    [Fact]
    public async Task A_layer_that_many_packaged_images_share_keeps_one_of_their_files()
    {
        var shared = new ImageFile("factory/keywords:1");
        await StoreAsync(shared);
        // Of all of them the configuration is the same.
        foreach (var i in Enumerable.Range(2, 3))
            await StoreAsync(new ImageFile($"factory/other:{i}", layerBytes: 100 * i));
        await PutAsync(Packaged, "stable", shared.Blob(shared.Digest), ImageFile.Manifest);
        Age();

        Assert.Equal(3, (await CollectAsync()).Removed);

        await PulledAsync(shared, Packaged, "stable");
        Age();
        Assert.Equal(0, (await CollectAsync()).Removed);
    }

    [Fact]
    public async Task A_pull_is_a_use_of_the_file_of_a_packaged_image()
    {
        var image = new ImageFile();
        await StoreAsync(image);
        Age();
        await PulledAsync(image, Packaged, "1");

        Assert.Equal(0, (await CollectAsync()).Removed);

        await PulledAsync(image, Packaged, "1");
    }

    [Fact]
    public async Task A_layer_that_a_manifest_needs_is_used_when_the_manifest_comes()
    {
        var image = new ImageFile();
        foreach (var blob in image.Blobs.Where(b => b != image.Digest))
            await PushBlobAsync(image.Blob(blob));
        Age();
        await using var scope = _api.Services.CreateAsyncScope();
        var store = scope.ServiceProvider.GetRequiredService<TinyMLaaS.PipelineApi.Artifacts.ArtifactStoreUpstream>();
        var found = await store.FindUnusedAsync(Retention, last: null, Cancellation);

        // Between looking and removing.
        await PutAsync(Repository, "1", image.Blob(image.Digest), ImageFile.Manifest);
        var removed = await store.RemoveUnusedAsync(
            new RemoveUnused { Before = found.Before, Artifacts = [.. found.Artifacts.Select(a => new ArtifactReference { Tenant = a.Tenant, Digest = a.Digest })] }, Cancellation);

        Assert.Equal((3, 0), (found.Artifacts.Count, removed.Count));
        await PulledAsync(image, Repository, "1");
    }

    private async Task<GarbageReport> CollectAsync()
    {
        await using var scope = _api.Services.CreateAsyncScope();
        return await scope.ServiceProvider.GetRequiredService<GarbageCollection>().CollectAsync(Retention, dryRun: false, Cancellation);
    }

    private async Task StoreAsync(ImageFile image)
    {
        using var stored = await _api.Http.PostAsync("/v1/artifacts?kind=oci-image", new ByteArrayContent(image.Write()), Cancellation);
        Assert.Equal(HttpStatusCode.Created, stored.StatusCode);
    }

    private async Task PushAsync(ImageFile image, string tag)
    {
        var manifests = image.Blobs.Where(d => image.Blob(d).AsSpan().StartsWith("{\"schemaVersion\""u8)).OrderBy(d => d == image.Digest).ToArray();
        foreach (var blob in image.Blobs.Except(manifests))
            await PushBlobAsync(image.Blob(blob));
        foreach (var manifest in manifests)
            await PutAsync(Repository, manifest == image.Digest ? tag : manifest, image.Blob(manifest), manifest == image.Digest ? image.MediaType : ImageFile.Manifest);
    }

    private async Task<string> PushBlobAsync(byte[] bytes)
    {
        var digest = ImageFile.DigestOf(bytes);
        using var pushed = await _api.Http.PostAsync($"/v2/{Repository}/blobs/uploads/?digest={digest}", new ByteArrayContent(bytes), Cancellation);
        Assert.Equal(HttpStatusCode.Created, pushed.StatusCode);
        return digest;
    }

    private async Task PutAsync(string repository, string reference, byte[] manifest, string type)
    {
        using var content = new ByteArrayContent(manifest) { Headers = { ContentType = new MediaTypeHeaderValue(type) } };
        using var put = await _api.Http.PutAsync($"/v2/{repository}/manifests/{reference}", content, Cancellation);
        Assert.True(put.StatusCode == HttpStatusCode.Created, await put.Content.ReadAsStringAsync(Cancellation));
    }

    private async Task DeleteAsync(string path)
    {
        using var deleted = await _api.Http.DeleteAsync(path, Cancellation);
        Assert.Equal(HttpStatusCode.Accepted, deleted.StatusCode);
    }

    private async Task<HttpStatusCode> StatusAsync(string path)
    {
        using var answer = await _api.Http.GetAsync(path, Cancellation);
        return answer.StatusCode;
    }

    private async Task PulledAsync(ImageFile image, string repository, string reference)
    {
        Assert.Equal(image.Blob(image.Digest), await _api.Http.GetByteArrayAsync($"/v2/{repository}/manifests/{reference}", Cancellation));
        foreach (var blob in image.Blobs)
        {
            var kind = image.Blob(blob).AsSpan().StartsWith("{\"schemaVersion\""u8) ? "manifests" : "blobs";
            Assert.Equal(image.Blob(blob), await _api.Http.GetByteArrayAsync($"/v2/{repository}/{kind}/{blob}", Cancellation));
        }
    }

    /// <summary>Nobody has used anything for two days.</summary>
    private void Age()
    {
        var old = TimeProvider.System.GetUtcNow().UtcDateTime.AddDays(-2);
        foreach (var file in Directory.EnumerateFiles(_folder["artifacts"], "*.*", SearchOption.AllDirectories).Where(f => f.Contains("sha256", StringComparison.Ordinal)))
            File.SetLastWriteTimeUtc(file, old);
    }
}
