using System.Net;
using System.Net.Http.Headers;
using TinyMLaaS.ArtifactStore.Storage;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>What the specification's category "pull" asks for, of an image that was pushed.</summary>
public sealed class RegistryPullTests : IAsyncLifetime
{
    private const string Repository = RegistryUnderTest.Repository;

    private readonly ImageFile _image = new();
    private RegistryUnderTest _registry = null!;

    public async ValueTask InitializeAsync()
    {
        _registry = await RegistryUnderTest.StartAsync();
        await _registry.PushAsync(_image, "1");
    }

    public ValueTask DisposeAsync() => _registry.DisposeAsync();

    [Fact]
    public async Task A_manifest_is_served_by_tag_and_by_digest_as_it_was_pushed()
    {
        foreach (var reference in (string[])["1", _image.Digest])
        {
            using var answer = await _registry.GetAsync($"/v2/{Repository}/manifests/{reference}");

            Assert.Equal(_image.Blob(_image.Digest), await answer.Content.ReadAsByteArrayAsync(RegistryUnderTest.Cancellation));
            Assert.Equal(ImageFile.Manifest, answer.Content.Headers.ContentType?.ToString());
            Assert.Equal(_image.Digest, Assert.Single(answer.Headers.GetValues("Docker-Content-Digest")));
        }
    }

    [Fact]
    public async Task HEAD_says_length_and_digest_and_sends_nothing()
    {
        foreach (var (path, digest) in new[] { ("manifests/1", _image.Digest), ($"manifests/{_image.Digest}", _image.Digest), ($"blobs/{_image.FirstLayer}", _image.FirstLayer) })
        {
            using var answer = await _registry.HeadAsync($"/v2/{Repository}/{path}");

            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.Equal(_image.Blob(digest).Length, answer.Content.Headers.ContentLength);
            Assert.Equal(digest, Assert.Single(answer.Headers.GetValues("Docker-Content-Digest")));
            Assert.Empty(await answer.Content.ReadAsByteArrayAsync(RegistryUnderTest.Cancellation));
        }
    }

    [Fact]
    public async Task A_blob_is_served_whole_and_in_part()
    {
        var layer = _image.Blob(_image.FirstLayer);
        Assert.Equal(layer, await _registry.BytesAsync($"/v2/{Repository}/blobs/{_image.FirstLayer}"));

        using var answer = await _registry.SendAsync(HttpMethod.Get, $"/v2/{Repository}/blobs/{_image.FirstLayer}", part: new RangeHeaderValue(100, 199));

        Assert.Equal(HttpStatusCode.PartialContent, answer.StatusCode);
        Assert.Equal($"bytes 100-199/{layer.Length}", answer.Content.Headers.ContentRange?.ToString());
        Assert.Equal(layer[100..200], await answer.Content.ReadAsByteArrayAsync(RegistryUnderTest.Cancellation));
        using var past = await _registry.SendAsync(HttpMethod.Get, $"/v2/{Repository}/blobs/{_image.FirstLayer}", part: new RangeHeaderValue(layer.Length, null));
        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, past.StatusCode);
    }

    [Fact]
    public async Task What_is_not_there_is_404_in_the_words_of_the_specification()
    {
        var unknown = ImageFile.DigestOf("nothing"u8.ToArray());
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/manifests/2"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/manifests/{unknown}"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/acme/other/manifests/1"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/blobs/{unknown}"), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
        using var head = await _registry.HeadAsync($"/v2/{Repository}/blobs/{unknown}");
        Assert.Equal(HttpStatusCode.NotFound, head.StatusCode);
    }

    [Fact]
    public async Task A_manifest_belongs_to_its_repository_and_is_no_blob()
    {
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/acme/images/two/manifests/{_image.Digest}"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/blobs/{_image.Digest}"), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
    }

    [Fact]
    public async Task Another_tenant_sees_nothing_of_it()
    {
        foreach (var path in (string[])["manifests/1", $"manifests/{_image.Digest}", $"blobs/{_image.FirstLayer}", "tags/list", $"referrers/{_image.Digest}"])
            await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Get, $"/v2/{Repository}/{path}", tenant: "other"), HttpStatusCode.NotFound, "NAME_UNKNOWN");
        // Nor by a digest that it knows.
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Get, $"/v2/other/images/one/blobs/{_image.FirstLayer}", tenant: "other"), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
    }

    [Fact]
    public async Task Everything_is_there_after_a_restart()
    {
        await _registry.RestartAsync();

        await _registry.PulledAsync(_image, "1", Repository);
    }

    [Fact]
    public async Task A_blob_that_is_damaged_on_disk_is_never_served_and_a_push_heals_it()
    {
        var hex = _image.FirstLayer["sha256:".Length..];
        var file = Path.Combine(_registry.Root, "acme", "sha256", hex[..2], hex);
        var bytes = await File.ReadAllBytesAsync(file, RegistryUnderTest.Cancellation);
        bytes[10] ^= 1;
        await File.WriteAllBytesAsync(file, bytes, RegistryUnderTest.Cancellation);
        File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch);

        var error = await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/blobs/{_image.FirstLayer}"), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
        Assert.Contains("another digest", (string)error["message"]!, StringComparison.Ordinal);
        using (var head = await _registry.HeadAsync($"/v2/{Repository}/blobs/{_image.FirstLayer}"))
            Assert.Equal(HttpStatusCode.NotFound, head.StatusCode);

        await _registry.PushBlobAsync(_image.Blob(_image.FirstLayer));

        await _registry.PulledAsync(_image, "1", Repository);
    }

    [Fact]
    public void A_file_of_the_registry_is_no_tenant()
    {
        Assert.False(TenantName.TryParse(".registry", out _));
    }
}
