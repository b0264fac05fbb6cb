using System.Net;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>What the specification's category "content management" asks for: deletion.</summary>
public sealed class RegistryManagementTests : IAsyncLifetime
{
    private const string Repository = RegistryUnderTest.Repository;

    private readonly ImageFile _image = new();
    private RegistryUnderTest _registry = null!;

    public async ValueTask InitializeAsync()
    {
        _registry = await RegistryUnderTest.StartAsync();
        await _registry.PushAsync(_image, "1");
        using var tagged = await _registry.PutManifestAsync("2", _image.Blob(_image.Digest));
        Assert.Equal(HttpStatusCode.Created, tagged.StatusCode);
    }

    public ValueTask DisposeAsync() => _registry.DisposeAsync();

    [Fact]
    public async Task A_tag_goes_and_its_manifest_stays()
    {
        await DeletedAsync("manifests/1");

        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/manifests/1"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Delete, $"/v2/{Repository}/manifests/1"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        Assert.Equal(["2"], await _registry.TagsAsync(Repository));
        await _registry.PulledAsync(_image, _image.Digest, Repository);
    }

    [Fact]
    public async Task A_manifest_goes_with_its_tags_and_no_others()
    {
        var other = new ImageFile("other:1");
        await _registry.PushAsync(other, "3");

        await DeletedAsync($"manifests/{_image.Digest}");

        foreach (var reference in (string[])["1", "2", _image.Digest])
            await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/manifests/{reference}"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Delete, $"/v2/{Repository}/manifests/{_image.Digest}"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        Assert.Equal(["3"], await _registry.TagsAsync(Repository));
        await _registry.PulledAsync(other, "3", Repository);

        await DeletedAsync($"manifests/{other.Digest}");
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/tags/list"), HttpStatusCode.NotFound, "NAME_UNKNOWN");
        // And is pushed again as if it had never been there.
        await _registry.PushAsync(_image, "1");
        Assert.Equal(["1"], await _registry.TagsAsync(Repository));
    }

    [Fact]
    public async Task What_is_deleted_in_one_repository_stays_in_another()
    {
        await _registry.PushAsync(_image, "1", "acme/two");

        await DeletedAsync($"manifests/{_image.Digest}");

        await _registry.PulledAsync(_image, "1", "acme/two");
    }

    [Fact]
    public async Task A_blob_is_not_deleted_by_itself()
    {
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Delete, $"/v2/{Repository}/blobs/{_image.FirstLayer}"), HttpStatusCode.MethodNotAllowed, "UNSUPPORTED");

        await _registry.PulledAsync(_image, "1", Repository);
    }

    [Fact]
    public async Task Pushes_and_deletions_at_once_leave_no_tag_that_means_nothing()
    {
        var images = Enumerable.Range(0, 3).Select(i => new ImageFile($"{new string('x', 10 * i + 1)}:1", layerBytes: 100)).ToArray();
        foreach (var image in images)
            await _registry.PushAsync(image, "tag");

        await Task.WhenAll(Enumerable.Range(0, 60).Select(async i =>
        {
            var image = images[i % 3];
            using var answer = i % 2 == 0
                ? await _registry.PutManifestAsync("tag", image.Blob(image.Digest))
                : await _registry.SendAsync(HttpMethod.Delete, $"/v2/{Repository}/manifests/{image.Digest}");
            Assert.True((int)answer.StatusCode is 201 or 202 or 404, $"{(int)answer.StatusCode}");
        }));

        var listed = (await _registry.TagsAsync(Repository)).Contains("tag");
        using var tag = await _registry.GetAsync($"/v2/{Repository}/manifests/tag");
        Assert.Equal(listed ? HttpStatusCode.OK : HttpStatusCode.NotFound, tag.StatusCode);
        Assert.Equal(listed, File.Exists(Path.Combine(_registry.Root, ".registry", "acme", "images", "one", "_tags", "tag")));
        await _registry.PulledAsync(_image, "1", Repository);
    }

    [Fact]
    public async Task Another_tenant_deletes_nothing()
    {
        foreach (var path in (string[])["manifests/1", $"manifests/{_image.Digest}"])
            await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Delete, $"/v2/{Repository}/{path}", tenant: "other"), HttpStatusCode.NotFound, "NAME_UNKNOWN");

        await _registry.PulledAsync(_image, "1", Repository);
    }

    private async Task DeletedAsync(string path)
    {
        using var gone = await _registry.SendAsync(HttpMethod.Delete, $"/v2/{Repository}/{path}");
        Assert.Equal(HttpStatusCode.Accepted, gone.StatusCode);
    }
}
