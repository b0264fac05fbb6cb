using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>What the specification's category "push" asks for.</summary>
public sealed class RegistryPushTests : IAsyncLifetime
{
    private const string Repository = RegistryUnderTest.Repository;

    private readonly byte[] _blob = [.. Enumerable.Range(0, 10_000).Select(i => (byte)(i * 7))];
    private RegistryUnderTest _registry = null!;

    private string Digest => ImageFile.DigestOf(_blob);

    public async ValueTask InitializeAsync() => _registry = await RegistryUnderTest.StartAsync();

    public ValueTask DisposeAsync() => _registry.DisposeAsync();

    [Fact]
    public async Task A_blob_comes_in_one_POST()
    {
        using var answer = await _registry.SendAsync(HttpMethod.Post, $"/v2/{Repository}/blobs/uploads/?digest={Digest}", _blob, "application/octet-stream");

        await CreatedAsync(answer);
    }

    [Fact]
    public async Task A_blob_comes_in_a_POST_and_a_PUT()
    {
        using var answer = await _registry.SendAsync(HttpMethod.Put, $"{await BeginAsync()}?digest={Digest}", _blob, "application/octet-stream");

        await CreatedAsync(answer);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_blob_comes_in_parts_and_says_how_much_is_there(bool lastWithTheEnd)
    {
        var upload = await BeginAsync();
        using (var first = await _registry.SendAsync(HttpMethod.Patch, upload, _blob[..4000], "application/octet-stream", "0-3999"))
        {
            Assert.Equal(HttpStatusCode.Accepted, first.StatusCode);
            Assert.Equal("0-3999", Assert.Single(first.Headers.GetValues("Range")));
            upload = first.Headers.Location!.ToString();
        }
        using (var status = await _registry.GetAsync(upload))
        {
            Assert.Equal(HttpStatusCode.NoContent, status.StatusCode);
            Assert.Equal("0-3999", Assert.Single(status.Headers.GetValues("Range")));
            upload = status.Headers.Location!.ToString();
        }
        if (!lastWithTheEnd)
        {
            using var last = await _registry.SendAsync(HttpMethod.Patch, upload, _blob[4000..], "application/octet-stream", "4000-9999");
            Assert.Equal(HttpStatusCode.Accepted, last.StatusCode);
        }

        using var answer = lastWithTheEnd
            ? await _registry.SendAsync(HttpMethod.Put, $"{upload}?digest={Digest}", _blob[4000..], "application/octet-stream", "4000-9999")
            : await _registry.SendAsync(HttpMethod.Put, $"{upload}?digest={Digest}", []);

        await CreatedAsync(answer);
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync(upload), HttpStatusCode.NotFound, "BLOB_UPLOAD_UNKNOWN");
    }

    [Theory]
    [InlineData("5000-5999")]
    [InlineData("3000-3999")]
    public async Task A_part_that_does_not_follow_is_416_and_says_where_to_go_on(string range)
    {
        var upload = await BeginAsync();
        using (await _registry.SendAsync(HttpMethod.Patch, upload, _blob[..4000], null, "0-3999"))
        {
        }

        using var refused = await _registry.SendAsync(HttpMethod.Patch, upload, _blob[..1000], null, range);

        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, refused.StatusCode);
        Assert.Equal("0-3999", Assert.Single(refused.Headers.GetValues("Range")));
        using (var rest = await _registry.SendAsync(HttpMethod.Patch, refused.Headers.Location!.ToString(), _blob[4000..], null, "4000-9999"))
            Assert.Equal(HttpStatusCode.Accepted, rest.StatusCode);
        using var answer = await _registry.SendAsync(HttpMethod.Put, $"{upload}?digest={Digest}", []);
        await CreatedAsync(answer);
    }

    [Fact]
    public async Task An_upload_goes_on_after_a_restart()
    {
        var upload = await BeginAsync();
        using (await _registry.SendAsync(HttpMethod.Patch, upload, _blob[..4000], null, "0-3999"))
        {
        }

        await _registry.RestartAsync();

        using var answer = await _registry.SendAsync(HttpMethod.Put, $"{upload}?digest={Digest}", _blob[4000..], null, "4000-9999");
        await CreatedAsync(answer);
    }

    [Fact]
    public async Task An_upload_is_given_up()
    {
        var upload = await BeginAsync();

        using (var gone = await _registry.SendAsync(HttpMethod.Delete, upload))
            Assert.Equal(HttpStatusCode.NoContent, gone.StatusCode);

        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Delete, upload), HttpStatusCode.NotFound, "BLOB_UPLOAD_UNKNOWN");
    }

    [Fact]
    public async Task An_upload_of_another_kind_or_tenant_is_none_of_the_registry()
    {
        using var begun = await _registry.SendAsync(HttpMethod.Post, "/v1/uploads?kind=onnx");
        var id = begun.Headers.Location!.ToString().Split('/')[^1];
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Put, $"/v2/{Repository}/blobs/uploads/{id}?digest={Digest}", _blob), HttpStatusCode.NotFound, "BLOB_UPLOAD_UNKNOWN");
        var mine = (await BeginAsync()).Split('/')[^1];
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Get, $"/v2/other/one/blobs/uploads/{mine}", tenant: "other"), HttpStatusCode.NotFound, "BLOB_UPLOAD_UNKNOWN");
    }

    [Fact]
    public async Task Other_bytes_than_announced_are_refused_and_nothing_is_stored()
    {
        var other = ImageFile.DigestOf("other"u8.ToArray());
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Post, $"/v2/{Repository}/blobs/uploads/?digest={other}", _blob), HttpStatusCode.BadRequest, "DIGEST_INVALID");
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Put, $"{await BeginAsync()}?digest={other}", _blob), HttpStatusCode.BadRequest, "DIGEST_INVALID");
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Put, await BeginAsync(), _blob), HttpStatusCode.BadRequest, "DIGEST_INVALID");
        foreach (var digest in (string[])[other, Digest])
            await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/blobs/{digest}"), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
    }

    [Fact]
    public async Task A_blob_of_another_repository_of_the_tenant_is_mounted_and_of_another_tenant_uploaded()
    {
        await _registry.PushBlobAsync(_blob, "acme/from");

        using (var mounted = await _registry.SendAsync(HttpMethod.Post, $"/v2/{Repository}/blobs/uploads/?mount={Digest}&from=acme/from"))
            await CreatedAsync(mounted);
        using (var unknown = await _registry.SendAsync(HttpMethod.Post, $"/v2/{Repository}/blobs/uploads/?mount={ImageFile.DigestOf([1])}&from=acme/from"))
            Assert.Equal(HttpStatusCode.Accepted, unknown.StatusCode);
        using (var foreign = await _registry.SendAsync(HttpMethod.Post, $"/v2/other/one/blobs/uploads/?mount={Digest}&from=acme/from", tenant: "other"))
            Assert.Equal(HttpStatusCode.Accepted, foreign.StatusCode);
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Get, $"/v2/other/one/blobs/{Digest}", tenant: "other"), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task An_image_is_pushed_and_pulled(int platforms)
    {
        var image = new ImageFile(platforms: platforms);

        await _registry.PushAsync(image, "latest");

        await _registry.PulledAsync(image, "latest", Repository);
        await _registry.PulledAsync(image, image.Digest, Repository);
    }

    [Fact]
    public async Task A_pushed_manifest_says_where_it_is_and_a_tag_moves()
    {
        var (first, second) = (new ImageFile("a:1"), new ImageFile("bb:1"));
        await _registry.PushAsync(first, "latest");
        await _registry.PushAsync(second, "other");

        using var answer = await _registry.PutManifestAsync("latest", second.Blob(second.Digest));

        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        Assert.Equal($"/v2/{Repository}/manifests/{second.Digest}", answer.Headers.Location?.ToString());
        Assert.Equal(second.Digest, Assert.Single(answer.Headers.GetValues("Docker-Content-Digest")));
        await _registry.PulledAsync(second, "latest", Repository);
        await _registry.PulledAsync(first, first.Digest, Repository);
    }

    [Fact]
    public async Task A_manifest_whose_parts_are_not_there_is_refused_with_their_digest()
    {
        var image = new ImageFile(platforms: 2);
        await _registry.PushBlobAsync(image.Blob(image.FirstLayer));
        var index = ImageFile.Json(image.Blob(image.Digest));
        var manifest = (string)index["manifests"]![0]!["digest"]!;
        var config = (string)ImageFile.Json(image.Blob(manifest))["config"]!["digest"]!;

        var error = await RegistryUnderTest.RefusedAsync(_registry.PutManifestAsync("1", image.Blob(manifest)), HttpStatusCode.BadRequest, "MANIFEST_BLOB_UNKNOWN");
        Assert.Equal(config, (string)error["detail"]!["digest"]!);
        error = await RegistryUnderTest.RefusedAsync(_registry.PutManifestAsync("1", image.Blob(image.Digest), ImageFile.Index), HttpStatusCode.BadRequest, "MANIFEST_BLOB_UNKNOWN");
        Assert.Equal(manifest, (string)error["detail"]!["digest"]!);
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Repository}/manifests/1"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
    }

    [Theory]
    [MemberData(nameof(WrongManifests))]
    public async Task A_wrong_manifest_is_refused(string what, string text, string type)
    {
        var error = await RegistryUnderTest.RefusedAsync(_registry.PutManifestAsync("1", Encoding.UTF8.GetBytes(text), type), HttpStatusCode.BadRequest, "MANIFEST_INVALID");
        Assert.Contains(what, (string)error["message"]!, StringComparison.Ordinal);
    }

    public static TheoryData<string, string, string> WrongManifests()
    {
        var blob = $$"""{"mediaType":"a/b","digest":"sha256:{{new string('0', 64)}}","size":1}""";
        return new TheoryData<string, string, string>
        {
            { "no JSON", "", ImageFile.Manifest },
            { "no JSON", "{", ImageFile.Manifest },
            { "no JSON", "\xff\xfe", ImageFile.Manifest },
            { "no JSON", string.Concat(Enumerable.Repeat("[", 1000)), ImageFile.Manifest },
            { "no JSON", """{"schemaVersion":2,"schemaVersion":2}""", ImageFile.Manifest },
            { "no JSON object", "[]", ImageFile.Manifest },
            { "schemaVersion", """{"schemaVersion":1}""", ImageFile.Manifest },
            { "schemaVersion", """{"schemaVersion":"2"}""", ImageFile.Manifest },
            { "says that it is", $$"""{"schemaVersion":2,"mediaType":"{{ImageFile.Index}}","manifests":[]}""", ImageFile.Manifest },
            { "are not taken", """{"schemaVersion":2}""", "application/vnd.docker.distribution.manifest.v1+json" },
            { "are not taken", """{"schemaVersion":2,"mediaType":"text/html"}""", "text/html" },
            { "what media type", """{"schemaVersion":2}""", "nonsense" },
            { "no 'config'", """{"schemaVersion":2,"layers":[]}""", ImageFile.Manifest },
            { "'config' is no descriptor", """{"schemaVersion":2,"config":1,"layers":[]}""", ImageFile.Manifest },
            { "no list 'layers'", $$"""{"schemaVersion":2,"config":{{blob}} }""", ImageFile.Manifest },
            { "'layers[0]' has no digest", $$"""{"schemaVersion":2,"config":{{blob}},"layers":[{"mediaType":"a/b","digest":"sha256:../../etc","size":1}]}""", ImageFile.Manifest },
            { "'layers[0]' has no size", $$"""{"schemaVersion":2,"config":{{blob}},"layers":[{"mediaType":"a/b","digest":"sha256:{{new string('0', 64)}}","size":-1}]}""", ImageFile.Manifest },
            { "'layers[0]' has no mediaType", $$"""{"schemaVersion":2,"config":{{blob}},"layers":[{}]}""", ImageFile.Manifest },
            { "has no 'manifests'", $$"""{"schemaVersion":2,"config":{{blob}},"layers":[],"manifests":[]}""", ImageFile.Manifest },
            { "has no 'layers'", """{"schemaVersion":2,"manifests":[],"layers":[]}""", ImageFile.Index },
            { "'subject' has no digest", $$"""{"schemaVersion":2,"config":{{blob}},"layers":[],"subject":{"mediaType":"a/b"} }""", ImageFile.Manifest },
            { "'annotations'", """{"schemaVersion":2,"manifests":[],"annotations":{"a":1}}""", ImageFile.Index },
            { "'annotations'", """{"schemaVersion":2,"manifests":[],"annotations":{"a":"\ud800"}}""", ImageFile.Index },
            { "'artifactType'", """{"schemaVersion":2,"manifests":[],"artifactType":"\udfff"}""", ImageFile.Index },
        };
    }

    [Fact]
    public async Task A_manifest_that_lies_about_a_length_is_refused()
    {
        await _registry.PushBlobAsync(_blob);
        var descriptor = new JsonObject { ["mediaType"] = ImageFile.Config, ["digest"] = Digest, ["size"] = _blob.Length - 1 };
        var manifest = new JsonObject { ["schemaVersion"] = 2, ["mediaType"] = ImageFile.Manifest, ["config"] = descriptor, ["layers"] = new JsonArray() };

        var error = await RegistryUnderTest.RefusedAsync(_registry.PutManifestAsync("1", ImageFile.Bytes(manifest)), HttpStatusCode.BadRequest, "MANIFEST_INVALID");

        Assert.Contains("9999 bytes long. It is 10000", (string)error["message"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_manifest_under_another_digest_is_refused()
    {
        var image = new ImageFile();
        await _registry.PushAsync(image, "1");

        await RegistryUnderTest.RefusedAsync(_registry.PutManifestAsync(ImageFile.DigestOf([1]), image.Blob(image.Digest)), HttpStatusCode.BadRequest, "DIGEST_INVALID");
    }

    [Fact]
    public async Task A_manifest_of_more_than_4_MiB_is_413()
    {
        var long4 = Encoding.ASCII.GetBytes($$"""{"schemaVersion":2,"manifests":[],"annotations":{"a":"{{new string('a', 4 << 20)}}"} }""");

        await RegistryUnderTest.RefusedAsync(_registry.PutManifestAsync("1", long4, ImageFile.Index), HttpStatusCode.RequestEntityTooLarge, "SIZE_INVALID");

        var short4 = Encoding.ASCII.GetBytes($$"""{"schemaVersion":2,"manifests":[],"annotations":{"a":"{{new string('a', (4 << 20) - 100)}}"} }""");
        using var taken = await _registry.PutManifestAsync("1", short4, ImageFile.Index);
        Assert.Equal(HttpStatusCode.Created, taken.StatusCode);
    }

    [Fact]
    public async Task More_than_the_store_takes_is_refused()
    {
        await using var small = await RegistryUnderTest.StartAsync(("MaxBytes", "5000"), ("MaxUploads", "1"));
        await RegistryUnderTest.RefusedAsync(small.SendAsync(HttpMethod.Post, $"/v2/{Repository}/blobs/uploads/?digest={Digest}", _blob), HttpStatusCode.RequestEntityTooLarge, "SIZE_INVALID");
        await RegistryUnderTest.RefusedAsync(small.SendAsync(HttpMethod.Post, $"/v2/{Repository}/blobs/uploads/?digest={ImageFile.DigestOf([])}", []), HttpStatusCode.BadRequest, "SIZE_INVALID");
        using (var begun = await small.SendAsync(HttpMethod.Post, $"/v2/{Repository}/blobs/uploads/"))
            Assert.Equal(HttpStatusCode.Accepted, begun.StatusCode);
        await RegistryUnderTest.RefusedAsync(small.SendAsync(HttpMethod.Post, $"/v2/{Repository}/blobs/uploads/"), HttpStatusCode.TooManyRequests, "TOOMANYREQUESTS");
    }

    private async Task<string> BeginAsync()
    {
        using var answer = await _registry.SendAsync(HttpMethod.Post, $"/v2/{Repository}/blobs/uploads/");
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
        return answer.Headers.Location!.ToString();
    }

    private async Task CreatedAsync(HttpResponseMessage answer)
    {
        Assert.True(answer.StatusCode == HttpStatusCode.Created, await answer.Content.ReadAsStringAsync(RegistryUnderTest.Cancellation));
        Assert.Equal(Digest, Assert.Single(answer.Headers.GetValues("Docker-Content-Digest")));
        Assert.Equal($"/v2/{Repository}/blobs/{Digest}", answer.Headers.Location?.ToString());
        Assert.Equal(_blob, await _registry.BytesAsync(answer.Headers.Location!.ToString()));
    }
}
