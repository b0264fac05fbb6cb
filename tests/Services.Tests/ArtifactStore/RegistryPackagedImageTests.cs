using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>Images that lie in the store as files, pulled without a push.</summary>
public sealed class RegistryPackagedImageTests : IAsyncLifetime
{
    private const string Packaged = "acme/factory/keywords";

    private RegistryUnderTest _registry = null!;

    private static CancellationToken Cancellation => RegistryUnderTest.Cancellation;

    public async ValueTask InitializeAsync() => _registry = await RegistryUnderTest.StartAsync();

    public ValueTask DisposeAsync() => _registry.DisposeAsync();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_stored_image_is_pulled_by_its_name_and_tag(int platforms)
    {
        var image = new ImageFile(platforms: platforms, layerBytes: 3_000_000);
        await _registry.StoreAsync(image.Write());

        await _registry.PulledAsync(image, "1", Packaged);

        await _registry.PulledAsync(image, image.Digest, Packaged);
        Assert.Equal(["1"], await _registry.TagsAsync(Packaged));
        using var part = await _registry.SendAsync(HttpMethod.Get, $"/v2/{Packaged}/blobs/{image.FirstLayer}", part: new RangeHeaderValue(2_999_000, null));
        Assert.Equal($"bytes 2999000-2999999/3000000", part.Content.Headers.ContentRange?.ToString());
        Assert.Equal(image.Blob(image.FirstLayer)[2_999_000..], await part.Content.ReadAsByteArrayAsync(Cancellation));
        using var head = await _registry.HeadAsync($"/v2/{Packaged}/manifests/1");
        Assert.Equal((image.MediaType, image.Digest), (head.Content.Headers.ContentType?.MediaType, head.Headers.GetValues("Docker-Content-Digest").Single()));
        // The bytes are in the store once.
        Assert.InRange(Directory.EnumerateFiles(_registry.Root, "*", SearchOption.AllDirectories).Sum(f => new FileInfo(f).Length), 0, image.Write().Length + 20_000);
    }

    [Fact]
    public async Task It_is_there_after_a_restart_and_when_it_was_stored_before_there_was_a_registry()
    {
        var image = new ImageFile();
        await _registry.StoreAsync(image.Write());

        await _registry.RestartAsync();
        await _registry.PulledAsync(image, "1", Packaged);

        await _registry.RestartAsync(() => Directory.Delete(Path.Combine(_registry.Root, ".registry"), recursive: true));
        await PipelineApi.ApiUnderTest.UntilAsync(async () => (await _registry.GetAsync($"/v2/{Packaged}/manifests/1")).IsSuccessStatusCode, "the image");
        await _registry.PulledAsync(image, "1", Packaged);
    }

    [Fact]
    public async Task An_upload_in_parts_brings_one_too()
    {
        var image = new ImageFile();
        var file = image.Write();
        using var begun = await _registry.SendAsync(HttpMethod.Post, "/v1/uploads?kind=oci-image");
        using var ended = await _registry.SendAsync(HttpMethod.Put, $"{begun.Headers.Location}?digest={ImageFile.DigestOf(file)}", file);
        Assert.Equal(HttpStatusCode.Created, ended.StatusCode);

        await _registry.PulledAsync(image, "1", Packaged);
    }

    [Fact]
    public async Task The_tag_means_what_was_stored_last()
    {
        var (first, second) = (new ImageFile(layerBytes: 1000), new ImageFile(layerBytes: 2000));
        await _registry.StoreAsync(first.Write());
        await _registry.StoreAsync(second.Write());

        await _registry.PulledAsync(second, "1", Packaged);

        await _registry.PulledAsync(first, first.Digest, Packaged);
        await _registry.StoreAsync(first.Write());
        await _registry.PulledAsync(first, "1", Packaged);
    }

    [Fact]
    public async Task A_deleted_tag_stays_deleted_and_the_file_stays()
    {
        var image = new ImageFile();
        var file = await _registry.StoreAsync(image.Write());
        using (var gone = await _registry.SendAsync(HttpMethod.Delete, $"/v2/{Packaged}/manifests/{image.Digest}"))
            Assert.Equal(HttpStatusCode.Accepted, gone.StatusCode);

        await _registry.RestartAsync();

        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Packaged}/manifests/1"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        Assert.Equal(image.Write(), await _registry.BytesAsync($"/v1/artifacts/{file}"));
    }

    [Fact]
    public async Task Another_tenant_has_its_own()
    {
        var image = new ImageFile();
        await _registry.StoreAsync(image.Write());

        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Get, "/v2/other/factory/keywords/manifests/1", tenant: "other"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Get, $"/v2/other/factory/keywords/blobs/{image.FirstLayer}", tenant: "other"), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
    }

    [Theory]
    [InlineData("factory/keywords:1", "factory/keywords")]
    [InlineData("keywords:1", "keywords")]
    [InlineData("registry.example:5000/a/b:1", "a/b")]
    [InlineData("localhost/a:1", "a")]
    [InlineData("docker.io/library/a:1", "a")]
    public async Task The_host_that_an_image_came_from_is_no_part_of_its_name(string name, string repository)
    {
        var image = new ImageFile("x:1");
        image.Files["manifest.json"] = Encoding.UTF8.GetBytes($$"""[{"Config":"c","RepoTags":["{{name}}"],"Layers":[]}]""");
        await _registry.StoreAsync(image.Write());

        await _registry.PulledAsync(image, "1", $"acme/{repository}");
    }

    [Fact]
    public async Task The_layout_alone_may_give_the_name()
    {
        var image = new ImageFile();
        image.Files.Remove("manifest.json");
        var index = ImageFile.Json(image.Files["index.json"]);
        index["manifests"]![0]!["annotations"]!["io.containerd.image.name"] = "docker.io/library/keywords:2";
        image.Files["index.json"] = ImageFile.Bytes(index);
        await _registry.StoreAsync(image.Write());

        await _registry.PulledAsync(image, "2", "acme/keywords");
    }

    [Theory]
    [MemberData(nameof(WrongFiles))]
    public async Task A_file_without_an_image_that_could_be_served_is_an_artifact_and_nothing_else(string what)
    {
        var file = Wrong[what]();
        var digest = await _registry.StoreAsync(file);

        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Packaged}/manifests/1"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Packaged}/tags/list"), HttpStatusCode.NotFound, "NAME_UNKNOWN");
        Assert.Equal(file, await _registry.BytesAsync($"/v1/artifacts/{digest}"));
        // And is not looked at again.
        await _registry.RestartAsync();
        Assert.Equal(file, await _registry.BytesAsync($"/v1/artifacts/{digest}"));
    }

    private static readonly Dictionary<string, Func<byte[]>> Wrong = new()
    {
        ["no tar"] = () => Encoding.UTF8.GetBytes("no tar at all, whatever it is called"),
        ["noise"] = () => [.. Enumerable.Range(0, 100_000).Select(i => (byte)(i * i))],
        ["zeros"] = () => new byte[10_240],
        ["compressed"] = Compressed,
        ["cut"] = () => new ImageFile().Write()[..4000],
        ["a header that promises too much"] = () => Resized(new ImageFile(), "77777777777"),
        ["a negative length"] = () => Resized(new ImageFile(), "-0000000001"),
        ["a layer with other bytes"] = () => Changed(i => i.Files[ImageFile.Path(i.FirstLayer)][0] ^= 1),
        ["a layer that is longer"] = () => Changed(i => i.Files[ImageFile.Path(i.FirstLayer)] = [.. i.Blob(i.FirstLayer), 0]),
        ["a layer that is missing"] = () => Changed(i => i.Files.Remove(ImageFile.Path(i.FirstLayer))),
        ["a manifest that is missing"] = () => Changed(i => i.Files.Remove(ImageFile.Path(i.Digest))),
        ["a manifest with other bytes"] = () => Changed(i => i.Files[ImageFile.Path(i.Digest)] = "{}"u8.ToArray()),
        ["no index"] = () => Changed(i => i.Files.Remove("index.json")),
        ["an index that is no JSON"] = () => Changed(i => i.Files["index.json"] = "{"u8.ToArray()),
        ["an index that is a list"] = () => Changed(i => i.Files["index.json"] = "[]"u8.ToArray()),
        ["an index that is too deep"] = () => Changed(i => i.Files["index.json"] = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("{\"a\":", 5000)))),
        ["an index that is too long"] = () => Changed(i => i.Files["index.json"] = [.. i.Files["index.json"], .. Enumerable.Repeat((byte)' ', 4 << 20)]),
        ["an index of something else"] = () => Changed(i => i.Files["index.json"] = """{"manifests":[1]}"""u8.ToArray()),
        ["no name"] = () => Changed(i => i.Files["manifest.json"] = """[{"RepoTags":null}]"""u8.ToArray()),
        ["a name that leaves the folder"] = () => Changed(i => i.Files["manifest.json"] = """[{"RepoTags":["../../factory/keywords:1","factory/_tags:1","factory/keywords:../1"]}]"""u8.ToArray()),
        ["a manifest of lies"] = () => Lies(m => m["layers"]![0]!["size"] = 1),
        ["a manifest of a type that is not taken"] = () => Lies(m => m["mediaType"] = "text/html"),
    };

    public static TheoryData<string> WrongFiles() => [.. Wrong.Keys];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_file_that_is_damaged_on_disk_serves_nothing_until_it_is_stored_again(bool inPart)
    {
        var image = new ImageFile(layerBytes: 3_000_000);
        var digest = await _registry.StoreAsync(image.Write());
        var hex = digest["sha256:".Length..];
        var path = Path.Combine(_registry.Root, "acme", "sha256", hex[..2], hex);
        var bytes = await File.ReadAllBytesAsync(path, Cancellation);
        bytes[bytes.AsSpan().IndexOf(image.Blob(image.FirstLayer).AsSpan(0, 100)) + 2_900_000] ^= 1;
        await File.WriteAllBytesAsync(path, bytes, Cancellation);
        File.SetLastWriteTimeUtc(path, DateTime.UnixEpoch);

        if (inPart)
            await RegistryUnderTest.RefusedAsync(_registry.SendAsync(HttpMethod.Get, $"/v2/{Packaged}/blobs/{image.FirstLayer}", part: new RangeHeaderValue(0, 9)), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
        else // More than a block: the connection is cut before the last of it.
            await Assert.ThrowsAsync<HttpRequestException>(() => _registry.BytesAsync($"/v2/{Packaged}/blobs/{image.FirstLayer}"));
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Packaged}/blobs/{image.FirstLayer}"), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Packaged}/manifests/1"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");

        await _registry.StoreAsync(image.Write());
        await _registry.PulledAsync(image, "1", Packaged);
    }

    [Fact]
    public async Task A_damaged_note_of_what_is_in_a_file_is_not_believed()
    {
        var image = new ImageFile();
        var digest = await _registry.StoreAsync(image.Write());

        // What the name means by now is left alone.
        var other = new ImageFile(layerBytes: 3000);
        await _registry.StoreAsync(other.Write());
        await _registry.RestartAsync(() =>
        {
            var note = Path.Combine(_registry.Root, ".registry", "acme", "_images", digest["sha256:".Length..]);
            var bytes = File.ReadAllBytes(note);
            bytes[^20] ^= 1;
            File.WriteAllBytes(note, bytes);
        });

        await PipelineApi.ApiUnderTest.UntilAsync(async () => (await _registry.GetAsync($"/v2/{Packaged}/manifests/{image.Digest}")).IsSuccessStatusCode, "the image");
        await _registry.PulledAsync(image, image.Digest, Packaged);
        await _registry.PulledAsync(other, "1", Packaged);
    }

    [Fact]
    public async Task A_file_that_is_removed_takes_its_image_along_but_not_what_is_in_another_file()
    {
        var (one, two) = (new ImageFile("factory/keywords:1", layerBytes: 1000), new ImageFile("factory/keywords:1", layerBytes: 1000));
        two.Files["extra"] = [1];
        var other = new ImageFile("factory/keywords:2", layerBytes: 2000);
        var (first, second) = (await _registry.StoreAsync(one.Write()), await _registry.StoreAsync(two.Write()));
        await _registry.StoreAsync(other.Write());
        Assert.NotEqual(first, second);

        await RemoveAsync(first);
        await _registry.PulledAsync(one, "1", Packaged);
        await RemoveAsync(second);

        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Packaged}/manifests/1"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Packaged}/manifests/{one.Digest}"), HttpStatusCode.NotFound, "MANIFEST_UNKNOWN");
        await RegistryUnderTest.RefusedAsync(_registry.GetAsync($"/v2/{Packaged}/blobs/{one.FirstLayer}"), HttpStatusCode.NotFound, "BLOB_UNKNOWN");
        Assert.Equal(["2"], await _registry.TagsAsync(Packaged));
        // Nor is anything left of it that nobody sees.
        Assert.DoesNotContain(
            Directory.EnumerateFiles(Path.Combine(_registry.Root, ".registry"), "*", SearchOption.AllDirectories), f => f.EndsWith(one.Digest["sha256:".Length..], StringComparison.Ordinal) || f.EndsWith(second["sha256:".Length..], StringComparison.Ordinal));
        await _registry.RestartAsync();
        Assert.Equal(["2"], await _registry.TagsAsync(Packaged));
        await _registry.PulledAsync(other, "2", Packaged);
    }

    [Fact]
    public async Task What_a_client_pushes_of_a_packaged_image_refers_to_its_file()
    {
        var image = new ImageFile(platforms: 2);
        var file = await _registry.StoreAsync(image.Write());
        Assert.Empty(await ReferencesAsync());

        // Nothing but the index has to be sent, since all that it refers to is there.
        using (var put = await _registry.PutManifestAsync("stable", image.Blob(image.Digest), ImageFile.Index, Packaged))
            Assert.Equal(HttpStatusCode.Created, put.StatusCode);

        var references = await ReferencesAsync();
        Assert.Contains(file, references);
        Assert.Contains(image.Digest, references);
        using (var gone = await _registry.SendAsync(HttpMethod.Delete, $"/v2/{Packaged}/manifests/{image.Digest}"))
            Assert.Equal(HttpStatusCode.Accepted, gone.StatusCode);
        Assert.Empty(await ReferencesAsync());
    }

    private async Task<string[]> ReferencesAsync() => [.. (await _registry.JsonAsync("/v1/registry-references")).AsArray().Select(r => (string)r!["digest"]!).Distinct()];

    private async Task RemoveAsync(string digest)
    {
        var body = ImageFile.Bytes(new JsonObject
        {
            ["before"] = TimeProvider.System.GetUtcNow().AddDays(1),
            ["artifacts"] = new JsonArray(new JsonObject { ["tenant"] = "acme", ["digest"] = digest }),
        });
        using var removed = await _registry.SendAsync(HttpMethod.Post, "/v1/unused/remove", body, "application/json");
        Assert.Contains("\"count\":1", await removed.Content.ReadAsStringAsync(Cancellation), StringComparison.Ordinal);
    }

    private static byte[] Changed(Action<ImageFile> change)
    {
        var image = new ImageFile();
        change(image);
        return image.Write();
    }

    // Its digests are right, and what it says is not.
    private static byte[] Lies(Action<JsonNode> change)
    {
        var image = new ImageFile();
        var manifest = ImageFile.Json(image.Blob(image.Digest));
        change(manifest);
        var bytes = ImageFile.Bytes(manifest);
        image.Files[ImageFile.Path(ImageFile.DigestOf(bytes))] = bytes;
        var index = ImageFile.Json(image.Files["index.json"]);
        (index["manifests"]![0]!["digest"], index["manifests"]![0]!["size"]) = (ImageFile.DigestOf(bytes), bytes.Length);
        image.Files["index.json"] = ImageFile.Bytes(index);
        return image.Write();
    }

    private static byte[] Compressed()
    {
        using var stream = new MemoryStream();
        using (var gzip = new GZipStream(stream, CompressionLevel.Fastest, leaveOpen: true))
            gzip.Write(new ImageFile().Write());
        return stream.ToArray();
    }

    // The first entry says another length, and its header has the right sum all the same.
    private static byte[] Resized(ImageFile image, string length)
    {
        var tar = image.Write();
        Encoding.ASCII.GetBytes(length).CopyTo(tar, 124);
        tar.AsSpan(148, 8).Fill((byte)' ');
        var sum = tar.AsSpan(0, 512).ToArray().Sum(b => b);
        Encoding.ASCII.GetBytes($"{Convert.ToString(sum, 8).PadLeft(6, '0')}\0 ").CopyTo(tar, 148);
        return tar;
    }
}
