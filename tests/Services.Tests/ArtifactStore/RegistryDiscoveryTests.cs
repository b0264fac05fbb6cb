using System.Net;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>What the specification's category "content discovery" asks for: tags and referrers.</summary>
public sealed class RegistryDiscoveryTests : IAsyncLifetime
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
    public async Task Tags_come_in_the_order_of_their_characters()
    {
        await TagAsync("b", "A", "10", "_");

        var list = await _registry.JsonAsync($"/v2/{Repository}/tags/list");

        Assert.Equal(Repository, (string)list["name"]!);
        Assert.Equal(["1", "10", "A", "_", "b"], list["tags"]!.AsArray().Select(t => (string)t!));
    }

    [Fact]
    public async Task Tags_come_in_pages()
    {
        await TagAsync("2", "3", "4", "5");
        var seen = new List<string>();
        for (var next = $"/v2/{Repository}/tags/list?n=2"; next is not null;)
        {
            using var answer = await _registry.GetAsync(next);
            var page = JsonNode.Parse(await answer.Content.ReadAsStringAsync(RegistryUnderTest.Cancellation))!["tags"]!.AsArray();
            Assert.InRange(page.Count, 1, 2);
            seen.AddRange(page.Select(t => (string)t!));
            next = answer.Headers.TryGetValues("Link", out var links) ? links.Single().Split('<', '>')[1] : null;
            Assert.True(next is null || links!.Single().EndsWith("; rel=\"next\"", StringComparison.Ordinal));
        }
        Assert.Equal(["1", "2", "3", "4", "5"], seen);
        Assert.Empty((await _registry.JsonAsync($"/v2/{Repository}/tags/list?n=0"))["tags"]!.AsArray());
        Assert.Equal(["4", "5"], (await _registry.JsonAsync($"/v2/{Repository}/tags/list?last=3"))["tags"]!.AsArray().Select(t => (string)t!));
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/tags/list?n=-1"), HttpStatusCode.BadRequest, "UNSUPPORTED");
    }

    [Fact]
    public async Task A_repository_that_is_not_there_has_no_tags() =>
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync("/v2/acme/other/tags/list"), HttpStatusCode.NotFound, "NAME_UNKNOWN");

    [Fact]
    public async Task Referrers_of_a_manifest_are_found_by_its_digest_and_their_type()
    {
        var signature = await ReferAsync(_image.Digest, "application/vnd.example.signature", new() { ["by"] = "me" });
        var bill = await ReferAsync(_image.Digest, "application/vnd.example.sbom");

        var all = await _registry.JsonAsync($"/v2/{Repository}/referrers/{_image.Digest}");
        Assert.Equal((2, ImageFile.Index), ((int)all["schemaVersion"]!, (string)all["mediaType"]!));
        Assert.Equal(new[] { signature.Digest, bill.Digest }.Order(StringComparer.Ordinal), all["manifests"]!.AsArray().Select(m => (string)m!["digest"]!));

        using var answer = await _registry.GetAsync($"/v2/{Repository}/referrers/{_image.Digest}?artifactType=application/vnd.example.signature");
        Assert.Equal("artifactType", Assert.Single(answer.Headers.GetValues("OCI-Filters-Applied")));
        Assert.Equal(ImageFile.Index, answer.Content.Headers.ContentType?.MediaType);
        var one = Assert.Single(JsonNode.Parse(await answer.Content.ReadAsStringAsync(RegistryUnderTest.Cancellation))!["manifests"]!.AsArray())!;
        Assert.Equal(
            (ImageFile.Manifest, signature.Digest, signature.Length, "application/vnd.example.signature", "me"),
            ((string)one["mediaType"]!, (string)one["digest"]!, (int)one["size"]!, (string)one["artifactType"]!, (string)one["annotations"]!["by"]!));
    }

    [Fact]
    public async Task Who_has_no_referrers_has_an_empty_list_of_them()
    {
        using var answer = await _registry.GetAsync($"/v2/{Repository}/referrers/{ImageFile.DigestOf([1])}");

        Assert.Equal((HttpStatusCode.OK, ImageFile.Index), (answer.StatusCode, answer.Content.Headers.ContentType?.MediaType));
        Assert.Empty(JsonNode.Parse(await answer.Content.ReadAsStringAsync(RegistryUnderTest.Cancellation))!["manifests"]!.AsArray());
        Assert.False(answer.Headers.Contains("OCI-Filters-Applied"));
    }

    [Fact]
    public async Task A_referrer_may_come_before_its_subject_and_goes_when_it_is_deleted()
    {
        var later = new ImageFile("later:1");
        var referrer = await ReferAsync(later.Digest, type: null);
        await _registry.PushAsync(later, "later");

        var found = Assert.Single((await _registry.JsonAsync($"/v2/{Repository}/referrers/{later.Digest}"))["manifests"]!.AsArray())!;
        // What has no type of its own is what its configuration is.
        Assert.Equal((referrer.Digest, ImageFile.Config), ((string)found["digest"]!, (string)found["artifactType"]!));

        using (var gone = await _registry.SendAsync(HttpMethod.Delete, $"/v2/{Repository}/manifests/{referrer.Digest}"))
            Assert.Equal(HttpStatusCode.Accepted, gone.StatusCode);
        Assert.Empty((await _registry.JsonAsync($"/v2/{Repository}/referrers/{later.Digest}"))["manifests"]!.AsArray());
    }

    [Fact]
    public async Task Many_long_referrers_come_in_pages()
    {
        for (var i = 0; i < 3; i++)
            await ReferAsync(_image.Digest, $"a/{i}", new() { ["long"] = new string('x', 3 << 20) });
        var seen = new HashSet<string>();
        var pages = 0;
        for (var next = $"/v2/{Repository}/referrers/{_image.Digest}"; next is not null; pages++)
        {
            using var answer = await _registry.GetAsync(next);
            foreach (var referrer in JsonNode.Parse(await answer.Content.ReadAsStringAsync(RegistryUnderTest.Cancellation))!["manifests"]!.AsArray())
                Assert.True(seen.Add((string)referrer!["digest"]!));
            next = answer.Headers.TryGetValues("Link", out var links) ? links.Single().Split('<', '>')[1] : null;
        }
        Assert.Equal((3, 3), (pages, seen.Count));
    }

    private async Task TagAsync(params string[] tags)
    {
        foreach (var tag in tags)
        {
            using var put = await _registry.PutManifestAsync(tag, _image.Blob(_image.Digest));
            Assert.Equal(HttpStatusCode.Created, put.StatusCode);
        }
    }

    private async Task<(string Digest, int Length)> ReferAsync(string subject, string? type, JsonObject? annotations = null)
    {
        var config = "{}"u8.ToArray();
        await _registry.PushBlobAsync(config);
        var manifest = new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = ImageFile.Manifest,
            ["config"] = ImageFile.Descriptor(ImageFile.Config, config),
            ["layers"] = new JsonArray(),
            ["subject"] = new JsonObject { ["mediaType"] = ImageFile.Manifest, ["digest"] = subject, ["size"] = 1 },
        };
        if (type is not null)
            manifest["artifactType"] = type;
        if (annotations is not null)
            manifest["annotations"] = annotations;
        var bytes = ImageFile.Bytes(manifest);
        var digest = ImageFile.DigestOf(bytes);
        using var put = await _registry.PutManifestAsync(digest, bytes);
        Assert.Equal(HttpStatusCode.Created, put.StatusCode);
        Assert.Equal(subject, Assert.Single(put.Headers.GetValues("OCI-Subject")));
        return (digest, bytes.Length);
    }
}
