using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>The store on a real Kestrel as a registry; requests are those of the tenant <c>acme</c>.</summary>
internal sealed class RegistryUnderTest : IAsyncDisposable
{
    public const string Repository = "acme/images/one";
    private const string Tenant = "acme";

    private readonly TemporaryFolder _root = new();
    private readonly Dictionary<string, string?> _options;
    private RunningServices _services;

    private RegistryUnderTest(RunningServices services, TemporaryFolder root, Dictionary<string, string?> options) => (_services, _root, _options) = (services, root, options);

    public static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>The store's folder.</summary>
    public string Root => _root.Path;

    public T Service<T>() where T : notnull => _services.Services.GetRequiredService<T>();

    public static async Task<RegistryUnderTest> StartAsync(params (string Name, string Value)[] options)
    {
        var root = new TemporaryFolder();
        var settings = options.ToDictionary(o => $"ArtifactStore:{o.Name}", o => (string?)o.Value);
        settings["ArtifactStore:Root"] = root.Path;
        return new RegistryUnderTest(await RunningServices.StartAsync([new ArtifactStoreModule()], settings), root, settings);
    }

    public async Task RestartAsync(Action? meanwhile = null)
    {
        await _services.DisposeAsync();
        meanwhile?.Invoke();
        _services = await RunningServices.StartAsync([new ArtifactStoreModule()], _options);
    }

    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, byte[]? body = null, string? type = null, string? range = null, string tenant = Tenant, RangeHeaderValue? part = null)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.Add("Tiny-Tenant", tenant);
        request.Headers.Range = part;
        if (body is not null)
        {
            request.Content = new ByteArrayContent(body);
            if (type is not null)
                request.Content.Headers.TryAddWithoutValidation("Content-Type", type);
            if (range is not null)
                request.Content.Headers.TryAddWithoutValidation("Content-Range", range);
        }
        return await _services.Http.SendAsync(request, Cancellation);
    }

    public Task<HttpResponseMessage> GetAsync(string path) => SendAsync(HttpMethod.Get, path);

    public Task<HttpResponseMessage> HeadAsync(string path) => SendAsync(HttpMethod.Head, path);

    /// <summary>Asserts a refusal in the registry's own words.</summary>
    public static async Task<JsonNode> RefusedAsync(Task<HttpResponseMessage> sent, HttpStatusCode status, string code)
    {
        using var answer = await sent;
        var text = await answer.Content.ReadAsStringAsync(Cancellation);
        Assert.True(answer.StatusCode == status, $"{(int)answer.StatusCode}: {text}");
        Assert.Equal("application/json", answer.Content.Headers.ContentType?.MediaType);
        var error = Assert.Single(JsonNode.Parse(text)!["errors"]!.AsArray())!;
        Assert.Equal(code, (string)error["code"]!);
        Assert.False(string.IsNullOrEmpty((string?)error["message"]));
        return error;
    }

    /// <summary>Pushes a blob in one request.</summary>
    public async Task<string> PushBlobAsync(byte[] bytes, string repository = Repository)
    {
        var digest = ImageFile.DigestOf(bytes);
        using var answer = await SendAsync(HttpMethod.Post, $"/v2/{repository}/blobs/uploads/?digest={digest}", bytes, "application/octet-stream");
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return digest;
    }

    public Task<HttpResponseMessage> PutManifestAsync(string reference, byte[] manifest, string type = ImageFile.Manifest, string repository = Repository) =>
        SendAsync(HttpMethod.Put, $"/v2/{repository}/manifests/{reference}", manifest, type);

    /// <summary>Pushes all of an image under a tag, as a client does.</summary>
    public async Task PushAsync(ImageFile image, string tag, string repository = Repository)
    {
        var manifests = image.Blobs.Where(d => IsManifest(image.Blob(d))).OrderBy(d => d == image.Digest).ToArray();
        foreach (var blob in image.Blobs.Except(manifests))
            await PushBlobAsync(image.Blob(blob), repository);
        foreach (var manifest in manifests)
        {
            using var put = await PutManifestAsync(manifest == image.Digest ? tag : manifest, image.Blob(manifest), manifest == image.Digest ? image.MediaType : ImageFile.Manifest, repository);
            Assert.True(put.StatusCode == HttpStatusCode.Created, await put.Content.ReadAsStringAsync(Cancellation));
        }
    }

    /// <summary>Stores a file of an image as a worker does.</summary>
    /// <returns>The digest of the file.</returns>
    public async Task<string> StoreAsync(byte[] file, string tenant = Tenant)
    {
        using var stored = await SendAsync(HttpMethod.Post, "/v1/artifacts?kind=oci-image", file, tenant: tenant);
        Assert.True(stored.IsSuccessStatusCode, await stored.Content.ReadAsStringAsync(Cancellation));
        return ImageFile.DigestOf(file);
    }

    /// <summary>Pulls all of an image by a tag, and compares it.</summary>
    public async Task PulledAsync(ImageFile image, string reference, string repository)
    {
        Assert.Equal(image.Blob(image.Digest), await BytesAsync($"/v2/{repository}/manifests/{reference}"));
        foreach (var blob in image.Blobs)
            Assert.Equal(image.Blob(blob), await BytesAsync($"/v2/{repository}/{(IsManifest(image.Blob(blob)) ? "manifests" : "blobs")}/{blob}"));
    }

    public async Task<byte[]> BytesAsync(string path)
    {
        using var answer = await GetAsync(path);
        var bytes = await answer.Content.ReadAsByteArrayAsync(Cancellation);
        Assert.True(answer.StatusCode == HttpStatusCode.OK, $"{path}: {(int)answer.StatusCode} {System.Text.Encoding.UTF8.GetString(bytes)}");
        return bytes;
    }

    public async Task<JsonNode> JsonAsync(string path) => JsonNode.Parse(await BytesAsync(path))!;

    public async Task<string[]> TagsAsync(string repository) => [.. (await JsonAsync($"/v2/{repository}/tags/list"))["tags"]!.AsArray().Select(t => (string)t!)];

    public async ValueTask DisposeAsync()
    {
        await _services.DisposeAsync();
        _root.Dispose();
    }

    private static bool IsManifest(byte[] bytes) => bytes.AsSpan().StartsWith("{\"schemaVersion\""u8);
}
