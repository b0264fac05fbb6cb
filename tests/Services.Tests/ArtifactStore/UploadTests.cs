using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

/// <summary>Uploads in parts, on the real store over HTTP: cut, resumed, wrong, raced, bounded.</summary>
public sealed class UploadTests : IAsyncLifetime
{
    private const long MaxBytes = 16_000_000;
    // What the server has taken from the network and not looked at yet when the connection ends.
    private const int LostAtMost = 3 << 19;
    private static readonly TimeSpan HangLimit = TimeSpan.FromSeconds(60);

    private readonly TemporaryFolder _root = new();
    private RunningServices _services = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _services = await StartAsync();

    public async ValueTask DisposeAsync()
    {
        await _services.DisposeAsync();
        _root.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task An_upload_that_is_cut_at_any_byte_goes_on_where_it_was(int seed)
    {
        var random = new Random(seed);
        var bytes = Bytes(15_000_000, seed);
        var upload = await BeginAsync();
        for (var cuts = 0; cuts < 3; cuts++)
        {
            var from = (int)upload.Received;
            var sent = random.Next(LostAtMost, (bytes.Length - from) / 2 + 1);
            await CutAsync(upload.Id, bytes, from, sent);
            // Whoever had the turn before an empty part has kept what it could.
            using (await SendAsync(HttpMethod.Patch, $"/v1/uploads/{upload.Id}"))
                upload = await FindAsync(upload.Id);
            Assert.InRange(upload.Received, Math.Max(from, from + sent - LostAtMost), from + sent);
        }
        using (var rest = await PatchAsync(upload.Id, bytes, (int)upload.Received, bytes.Length - (int)upload.Received))
            Assert.Equal(HttpStatusCode.Accepted, rest.StatusCode);

        using var ended = await EndAsync(upload.Id, DigestOf(bytes));

        Assert.Equal(HttpStatusCode.Created, ended.StatusCode);
        Assert.Equal(new ArtifactRef { Digest = DigestOf(bytes), Size = bytes.Length, Kind = "onnx" }, await ended.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, Cancellation));
        Assert.Equal(bytes, await DownloadAsync(DigestOf(bytes)));
        await ProblemAsync(await SendAsync(HttpMethod.Get, $"/v1/uploads/{upload.Id}"), HttpStatusCode.NotFound, "upload-not-found");
    }

    [Fact]
    public async Task An_upload_goes_on_after_a_restart_of_the_store()
    {
        var bytes = Bytes(2_500_000, seed: 4);
        var upload = await BeginAsync();
        using (var first = await PatchAsync(upload.Id, bytes, 0, 1_234_567))
            Assert.Equal(HttpStatusCode.Accepted, first.StatusCode);

        await _services.DisposeAsync();
        _services = await StartAsync();

        Assert.Equal(1_234_567, (await FindAsync(upload.Id)).Received);
        using (var rest = await PatchAsync(upload.Id, bytes, 1_234_567, bytes.Length - 1_234_567))
            Assert.Equal(HttpStatusCode.Accepted, rest.StatusCode);
        using var ended = await EndAsync(upload.Id, DigestOf(bytes));
        Assert.Equal(HttpStatusCode.Created, ended.StatusCode);
        Assert.Equal(bytes, await DownloadAsync(DigestOf(bytes)));
    }

    [Fact]
    public async Task The_last_part_may_come_with_the_end_and_all_of_it_too()
    {
        var bytes = Bytes(1000, seed: 5);
        var upload = await BeginAsync();
        using (var first = await PatchAsync(upload.Id, bytes, 0, 400))
        {
            Assert.Equal($"/v1/uploads/{upload.Id}", first.Headers.Location?.ToString());
            Assert.Equal("0-399", Assert.Single(first.Headers.GetValues("Range")));
        }
        using var ended = await SendAsync(HttpMethod.Put, $"/v1/uploads/{upload.Id}?digest={DigestOf(bytes)}", Part(bytes, 400, 600, "400-999"));
        Assert.Equal(HttpStatusCode.Created, ended.StatusCode);
        Assert.Equal($"/v1/artifacts/{DigestOf(bytes)}", ended.Headers.Location?.ToString());

        var other = Bytes(1000, seed: 6);
        using var whole = await SendAsync(HttpMethod.Put, $"/v1/uploads/{(await BeginAsync()).Id}?digest={DigestOf(other)}", Part(other, 0, 1000, range: null));
        Assert.Equal(HttpStatusCode.Created, whole.StatusCode);
        Assert.Equal(other, await DownloadAsync(DigestOf(other)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(399)]
    [InlineData(401)]
    public async Task A_part_that_does_not_follow_is_416_and_says_where_to_go_on(int from)
    {
        var bytes = Bytes(1000, seed: 7);
        var upload = await BeginAsync();
        using (await PatchAsync(upload.Id, bytes, 0, 400))
        {
        }

        using var refused = await PatchAsync(upload.Id, bytes, from, 100);

        Assert.Equal("0-399", Assert.Single(refused.Headers.GetValues("Range")));
        Assert.Equal($"/v1/uploads/{upload.Id}", refused.Headers.Location?.ToString());
        var problem = await ProblemAsync(refused, HttpStatusCode.RequestedRangeNotSatisfiable, "upload-offset");
        Assert.Contains("begins at 400", problem.Detail, StringComparison.Ordinal);
        Assert.Equal(400, (await FindAsync(upload.Id)).Received);
    }

    [Theory]
    [InlineData("0-9", true)]
    [InlineData("bytes 0-9/100", true)]
    [InlineData("bytes 0-9/*", true)]
    [InlineData("0-8", false)]
    [InlineData("9-0", false)]
    [InlineData("0-", false)]
    [InlineData("bytes */10", false)]
    [InlineData("-1-8", false)]
    [InlineData("0-9223372036854775807", false)]
    [InlineData("0-99999999999999999999", false)]
    public async Task A_range_is_read_as_OCI_and_as_HTTP_write_it_and_must_be_that_of_the_body(string range, bool taken)
    {
        var upload = await BeginAsync();
        using var answer = await SendAsync(HttpMethod.Patch, $"/v1/uploads/{upload.Id}", Part(Bytes(10, seed: 8), 0, 10, range));

        if (taken)
            Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
        else
            await ProblemAsync(answer, HttpStatusCode.BadRequest, "invalid-range");
        Assert.Equal(taken ? 10 : 0, (await FindAsync(upload.Id)).Received);
    }

    [Fact]
    public async Task The_wrong_digest_is_refused_and_gives_the_upload_up()
    {
        var bytes = Bytes(1000, seed: 9);
        var upload = await BeginAsync();
        using (await PatchAsync(upload.Id, bytes, 0, 1000))
        {
        }
        var other = "sha256:" + new string('a', 64);

        var problem = await ProblemAsync(await EndAsync(upload.Id, other), HttpStatusCode.UnprocessableEntity, "digest-mismatch");

        Assert.Contains(DigestOf(bytes), problem.Detail, StringComparison.Ordinal);
        await ProblemAsync(await SendAsync(HttpMethod.Get, $"/v1/uploads/{upload.Id}"), HttpStatusCode.NotFound, "upload-not-found");
        foreach (var digest in (string[])[other, DigestOf(bytes)])
            await ProblemAsync(await SendAsync(HttpMethod.Get, $"/v1/artifacts/{digest}"), HttpStatusCode.NotFound, "artifact-not-found");
        Assert.Empty(Files(".uploads"));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("sha256:abc")]
    public async Task An_end_without_a_digest_is_refused_and_the_upload_goes_on(string? digest)
    {
        var upload = await BeginAsync();
        await ProblemAsync(await SendAsync(HttpMethod.Put, $"/v1/uploads/{upload.Id}{(digest is null ? "" : "?digest=" + digest)}"), HttpStatusCode.BadRequest, "invalid-digest");
        await ProblemAsync(await EndAsync(upload.Id, DigestOf([])), HttpStatusCode.BadRequest, "empty-artifact");
        Assert.Equal(0, (await FindAsync(upload.Id)).Received);
    }

    [Theory]
    [InlineData("", "unknown-kind")]
    [InlineData("?kind=exe", "unknown-kind")]
    public async Task An_upload_of_no_kind_does_not_begin(string query, string code) =>
        await ProblemAsync(await SendAsync(HttpMethod.Post, $"/v1/uploads{query}"), HttpStatusCode.BadRequest, code);

    [Fact]
    public async Task Writers_of_the_same_bytes_all_have_them_stored()
    {
        var bytes = Bytes(2_000_000, seed: 10);
        async Task<HttpStatusCode> InPartsAsync(int part)
        {
            var upload = await BeginAsync();
            for (var from = 0; from < bytes.Length; from += part)
            {
                using var added = await PatchAsync(upload.Id, bytes, from, Math.Min(part, bytes.Length - from));
                Assert.Equal(HttpStatusCode.Accepted, added.StatusCode);
            }
            using var ended = await EndAsync(upload.Id, DigestOf(bytes));
            return ended.StatusCode;
        }
        async Task<HttpStatusCode> AtOnceAsync()
        {
            using var stored = await SendAsync(HttpMethod.Post, "/v1/artifacts?kind=onnx", new ByteArrayContent(bytes));
            return stored.StatusCode;
        }

        var answers = await Task.WhenAll(InPartsAsync(333_333), InPartsAsync(700_000), AtOnceAsync(), AtOnceAsync());

        Assert.All(answers, status => Assert.True(status is HttpStatusCode.Created or HttpStatusCode.OK, $"{status}"));
        Assert.Single(answers, HttpStatusCode.Created);
        Assert.Equal(bytes, await DownloadAsync(DigestOf(bytes)));
    }

    [Fact]
    public async Task A_sender_that_comes_again_takes_over_from_its_connection_that_is_still_open()
    {
        var bytes = Bytes(4_000_000, seed: 11);
        var upload = await BeginAsync();
        using var stalled = new TcpClient();
        await stalled.ConnectAsync(_services.Http.BaseAddress!.Host, _services.Http.BaseAddress.Port, Cancellation);
        await using var stream = stalled.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"PATCH /v1/uploads/{upload.Id} HTTP/1.1\r\nHost: x\r\nTiny-Tenant: default\r\nContent-Range: 0-3999999\r\nContent-Length: 4000000\r\n\r\n"), Cancellation);
        await stream.WriteAsync(bytes.AsMemory(0, 3_000_000), Cancellation);
        // It has the turn, and keeps some of what has come.
        while ((await FindAsync(upload.Id)).Received == 0)
            await Task.Delay(20, Cancellation);

        // Where it is, the sender learns by trying: the first try ends the old connection.
        HttpStatusCode status;
        do
        {
            var from = (int)(await FindAsync(upload.Id)).Received;
            using var added = await PatchAsync(upload.Id, bytes, from, bytes.Length - from);
            status = added.StatusCode;
        }
        while (status == HttpStatusCode.RequestedRangeNotSatisfiable);

        Assert.Equal(HttpStatusCode.Accepted, status);
        using var reader = new StreamReader(stream, Encoding.ASCII);
        Assert.StartsWith("HTTP/1.1 409", await reader.ReadLineAsync(Cancellation).AsTask().WaitAsync(HangLimit, Cancellation), StringComparison.Ordinal);
        using var ended = await EndAsync(upload.Id, DigestOf(bytes));
        Assert.Equal(HttpStatusCode.Created, ended.StatusCode);
    }

    [Fact]
    public async Task Whoever_announces_the_digest_needs_to_remember_nothing_and_sends_nothing_twice()
    {
        var bytes = Bytes(1000, seed: 12);
        var upload = await BeginAsync(DigestOf(bytes));
        using (await PatchAsync(upload.Id, bytes, 0, 600))
        {
        }

        Assert.Equal((upload.Id, 600), (await BeginAsync(DigestOf(bytes)) is var again ? (again.Id, again.Received) : default));
        // Not of another kind, not of who announced nothing, and not another tenant's.
        Assert.NotEqual(upload.Id, (await BeginAsync(DigestOf(bytes), kind: "dataset")).Id);
        Assert.NotEqual(upload.Id, (await BeginAsync()).Id);
        Assert.NotEqual(upload.Id, (await BeginAsync(DigestOf(bytes), tenant: "other")).Id);
        using (await PatchAsync(upload.Id, bytes, 600, 400))
        using (await EndAsync(upload.Id, DigestOf(bytes)))
        {
        }

        using (var known = await SendAsync(HttpMethod.Post, "/v1/uploads?kind=onnx", announced: DigestOf(bytes)))
        {
            Assert.Equal(HttpStatusCode.OK, known.StatusCode);
            Assert.Equal(new ArtifactRef { Digest = DigestOf(bytes), Size = 1000, Kind = "onnx" }, await known.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, Cancellation));
        }
        // What is damaged is not there: this upload heals it.
        FileSystemArtifactStoreTests.Flip(Assert.Single(Files("default/sha256"), f => !Path.GetFileName(f).Contains('.', StringComparison.Ordinal)), 500);
        var healing = await BeginAsync(DigestOf(bytes));
        using (await PatchAsync(healing.Id, bytes, 0, 1000))
        using (await EndAsync(healing.Id, DigestOf(bytes)))
            Assert.Equal(bytes, await DownloadAsync(DigestOf(bytes)));
    }

    [Fact]
    public async Task An_upload_belongs_to_its_tenant()
    {
        var upload = await BeginAsync();
        foreach (var method in (HttpMethod[])[HttpMethod.Get, HttpMethod.Patch, HttpMethod.Put, HttpMethod.Delete])
        {
            using var answer = await SendAsync(method, $"/v1/uploads/{upload.Id}?digest={DigestOf([])}", tenant: "other");
            await ProblemAsync(answer, HttpStatusCode.NotFound, "upload-not-found");
            using var nobody = await SendAsync(method, $"/v1/uploads/{upload.Id}", tenant: "Not a tenant");
            await ProblemAsync(nobody, HttpStatusCode.BadRequest, "invalid-tenant");
        }
        Assert.Equal(0, (await FindAsync(upload.Id)).Received);
    }

    [Fact]
    public async Task An_upload_that_is_given_up_leaves_nothing()
    {
        var upload = await BeginAsync();
        using (await PatchAsync(upload.Id, Bytes(1000, seed: 13), 0, 1000))
        {
        }
        Assert.Single(Files(".uploads"));

        using var gone = await SendAsync(HttpMethod.Delete, $"/v1/uploads/{upload.Id}");

        Assert.Equal(HttpStatusCode.NoContent, gone.StatusCode);
        Assert.Empty(Files(".uploads"));
        await ProblemAsync(await SendAsync(HttpMethod.Delete, $"/v1/uploads/{upload.Id}"), HttpStatusCode.NotFound, "upload-not-found");
    }

    [Fact]
    public async Task A_tenant_has_so_many_uploads_and_bytes_in_them_and_no_more_and_others_have_their_own()
    {
        var bytes = Bytes(12_000_000, seed: 14);
        var uploads = new List<UploadResource>();
        for (var i = 0; i < 3; i++)
            uploads.Add(await BeginAsync());
        await ProblemAsync(await SendAsync(HttpMethod.Post, "/v1/uploads?kind=onnx"), HttpStatusCode.TooManyRequests, "too-many-uploads");
        await BeginAsync(tenant: "other");

        using (var first = await PatchAsync(uploads[0].Id, bytes, 0, 12_000_000))
            Assert.Equal(HttpStatusCode.Accepted, first.StatusCode);
        await ProblemAsync(await PatchAsync(uploads[1].Id, bytes, 0, 12_000_000), HttpStatusCode.TooManyRequests, "too-many-upload-bytes");
        using (var ended = await EndAsync(uploads[0].Id, DigestOf(bytes)))
            Assert.Equal(HttpStatusCode.Created, ended.StatusCode);

        var left = (int)(await FindAsync(uploads[1].Id)).Received;
        using (var rest = await PatchAsync(uploads[1].Id, bytes, left, 12_000_000 - left))
            Assert.Equal(HttpStatusCode.Accepted, rest.StatusCode);
        await BeginAsync();
    }

    [Fact]
    public async Task What_is_larger_than_an_artifact_may_be_is_413_whether_it_says_so_or_not()
    {
        var bytes = Bytes((int)MaxBytes + 1, seed: 15);
        var said = await BeginAsync();
        await ProblemAsync(await PatchAsync(said.Id, bytes, 0, bytes.Length), HttpStatusCode.RequestEntityTooLarge, "artifact-too-large");

        using var chunked = new HttpRequestMessage(HttpMethod.Patch, $"/v1/uploads/{(await BeginAsync()).Id}") { Content = new StreamContent(new MemoryStream(bytes)) };
        chunked.Headers.TransferEncodingChunked = true;
        chunked.Headers.Add("Tiny-Tenant", "default");
        await ProblemAsync(await _services.Http.SendAsync(chunked, Cancellation), HttpStatusCode.RequestEntityTooLarge, "artifact-too-large");
    }

    [Fact]
    public async Task A_body_that_is_longer_than_its_range_is_refused_behind_the_range()
    {
        var bytes = Bytes(1000, seed: 16);
        var upload = await BeginAsync();
        using var request = new HttpRequestMessage(HttpMethod.Patch, $"/v1/uploads/{upload.Id}") { Content = new StreamContent(new MemoryStream(bytes)) };
        request.Content.Headers.TryAddWithoutValidation("Content-Range", "0-499");
        request.Headers.TransferEncodingChunked = true;
        request.Headers.Add("Tiny-Tenant", "default");

        await ProblemAsync(await _services.Http.SendAsync(request, Cancellation), HttpStatusCode.BadRequest, "invalid-range");

        Assert.Equal(500, (await FindAsync(upload.Id)).Received);
    }

    [Fact]
    public async Task A_small_artifact_that_is_damaged_is_410_and_a_large_one_never_arrives_whole()
    {
        foreach (var length in (int[])[1000, 3_500_000])
        {
            var bytes = Bytes(length, seed: 17);
            var (digest, path) = (DigestOf(bytes), $"/v1/artifacts/{DigestOf(bytes)}");
            using (await SendAsync(HttpMethod.Post, "/v1/artifacts?kind=onnx", new ByteArrayContent(bytes)))
            {
            }
            FileSystemArtifactStoreTests.Flip(Assert.Single(Files("default/sha256"), f => f.EndsWith(digest[7..], StringComparison.Ordinal)), length / 2);

            using (var first = await _services.Http.SendAsync(Request(HttpMethod.Get, path), HttpCompletionOption.ResponseHeadersRead, Cancellation))
            {
                if (length == 1000)
                {
                    await ProblemAsync(first, HttpStatusCode.Gone, "artifact-damaged");
                }
                else
                {
                    var broken = await Assert.ThrowsAnyAsync<Exception>(() => first.Content.ReadAsByteArrayAsync(Cancellation));
                    Assert.True(broken is HttpRequestException or IOException, broken.ToString());
                }
            }
            await ProblemAsync(await SendAsync(HttpMethod.Get, path), HttpStatusCode.Gone, "artifact-damaged");
            using (var head = await SendAsync(HttpMethod.Head, path))
                Assert.Equal(HttpStatusCode.Gone, head.StatusCode);
            using (await SendAsync(HttpMethod.Post, "/v1/artifacts?kind=onnx", new ByteArrayContent(bytes)))
                Assert.Equal(bytes, await DownloadAsync(digest));
        }
    }

    [Fact]
    public async Task A_part_of_a_damaged_artifact_is_410_wherever_the_damage_is()
    {
        var bytes = Bytes(3_500_000, seed: 18);
        using (await SendAsync(HttpMethod.Post, "/v1/artifacts?kind=onnx", new ByteArrayContent(bytes)))
        {
        }
        FileSystemArtifactStoreTests.Flip(Assert.Single(Files("default/sha256"), f => f.EndsWith(DigestOf(bytes)[7..], StringComparison.Ordinal)), 3_499_999);
        var request = Request(HttpMethod.Get, $"/v1/artifacts/{DigestOf(bytes)}");
        request.Headers.Range = new RangeHeaderValue(0, 9);

        using var answer = await _services.Http.SendAsync(request, Cancellation);

        await ProblemAsync(answer, HttpStatusCode.Gone, "artifact-damaged");
    }

    private Task<RunningServices> StartAsync() => RunningServices.StartAsync([new ArtifactStoreModule()], new Dictionary<string, string?>
    {
        ["ArtifactStore:Root"] = _root.Path,
        ["ArtifactStore:MaxBytes"] = MaxBytes.ToString(CultureInfo.InvariantCulture),
        ["ArtifactStore:MaxUploads"] = "3",
        ["ArtifactStore:MaxUploadBytes"] = "20000000",
    });

    private async Task<UploadResource> BeginAsync(string? announced = null, string kind = "onnx", string tenant = "default")
    {
        using var answer = await SendAsync(HttpMethod.Post, $"/v1/uploads?kind={kind}", tenant: tenant, announced: announced);
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
        var upload = (await answer.Content.ReadFromJsonAsync<UploadResource>(ContractJson.Options, Cancellation))!;
        Assert.Equal($"/v1/uploads/{upload.Id}", answer.Headers.Location?.ToString());
        return upload;
    }

    private async Task<UploadResource> FindAsync(string id)
    {
        using var answer = await SendAsync(HttpMethod.Get, $"/v1/uploads/{id}");
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return (await answer.Content.ReadFromJsonAsync<UploadResource>(ContractJson.Options, Cancellation))!;
    }

    private async Task CutAsync(string id, byte[] bytes, int from, int sent)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(_services.Http.BaseAddress!.Host, _services.Http.BaseAddress.Port, Cancellation);
        await using var stream = socket.GetStream();
        // It promises one byte more than it has, so that it is cut also when all bytes have come.
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"PATCH /v1/uploads/{id} HTTP/1.1\r\nHost: x\r\nTiny-Tenant: default\r\nContent-Range: {from}-{bytes.Length}\r\nContent-Length: {bytes.Length - from + 1}\r\n\r\n"), Cancellation);
        await stream.WriteAsync(bytes.AsMemory(from, sent), Cancellation);
        socket.Client.Shutdown(SocketShutdown.Send);
        try
        {
            // Until the server has noticed.
            await stream.CopyToAsync(Stream.Null, Cancellation).WaitAsync(HangLimit, Cancellation);
        }
        catch (IOException)
        {
            // It may drop the connection as well.
        }
    }

    private Task<HttpResponseMessage> PatchAsync(string id, byte[] bytes, int from, int length) =>
        SendAsync(HttpMethod.Patch, $"/v1/uploads/{id}", Part(bytes, from, length, length == 0 ? null : $"{from}-{from + length - 1}"));

    private Task<HttpResponseMessage> EndAsync(string id, string digest) => SendAsync(HttpMethod.Put, $"/v1/uploads/{id}?digest={digest}");

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content = null, string tenant = "default", string? announced = null)
    {
        using var request = Request(method, path, tenant);
        request.Content = content;
        if (announced is not null)
            request.Headers.Add("Tiny-Digest", announced);
        return await _services.Http.SendAsync(request, Cancellation);
    }

    private async Task<byte[]> DownloadAsync(string digest)
    {
        using var answer = await SendAsync(HttpMethod.Get, $"/v1/artifacts/{digest}");
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return await answer.Content.ReadAsByteArrayAsync(Cancellation);
    }

    private IEnumerable<string> Files(string folder) => Directory.EnumerateFiles(_root[folder], "*", SearchOption.AllDirectories);

    private static HttpRequestMessage Request(HttpMethod method, string path, string tenant = "default")
    {
        var request = new HttpRequestMessage(method, path);
        request.Headers.TryAddWithoutValidation("Tiny-Tenant", tenant);
        return request;
    }

    private static ByteArrayContent Part(byte[] bytes, int from, int length, string? range)
    {
        var content = new ByteArrayContent(bytes, from, length);
        if (range is not null)
            content.Headers.TryAddWithoutValidation("Content-Range", range);
        return content;
    }

    private static async Task<Problem> ProblemAsync(HttpResponseMessage answer, HttpStatusCode status, string code)
    {
        using (answer)
        {
            var problem = await answer.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Cancellation);
            Assert.Equal((status, code), (answer.StatusCode, problem!.Code));
            return problem;
        }
    }

    private static string DigestOf(byte[] bytes) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes));

    private static byte[] Bytes(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
