using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Options;
using TinyMLaaS.ArtifactStore;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.Services.Tests.Hosting;

namespace TinyMLaaS.Services.Tests.ArtifactStore;

public sealed class ArtifactEndpointsTests : IAsyncLifetime
{
    private static readonly byte[] Hello = Encoding.UTF8.GetBytes("hello, artifact");
    private static readonly string HelloDigest = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Hello));

    private readonly TemporaryFolder _root = new();
    private RunningServices _services = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private HttpClient Http => _services.Http;

    public async ValueTask InitializeAsync() => _services = await StartAsync(_root.Path);

    public async ValueTask DisposeAsync()
    {
        await _services.DisposeAsync();
        _root.Dispose();
    }

    [Fact]
    public async Task Answers_201_for_new_bytes_and_200_with_the_same_reference_for_known_ones()
    {
        using var first = await PostAsync("kind=onnx", Hello);
        using var second = await PostAsync("kind=onnx", Hello);

        Assert.Equal(HttpStatusCode.Created, first.StatusCode);
        Assert.Equal($"/v1/artifacts/{HelloDigest}", first.Headers.Location?.ToString());
        Assert.Equal(HttpStatusCode.OK, second.StatusCode);
        var expected = new ArtifactRef { Digest = HelloDigest, Size = Hello.Length, Kind = "onnx" };
        Assert.Equal(expected, await first.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, Cancellation));
        Assert.Equal(expected, await second.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, Cancellation));
    }

    [Fact]
    public async Task Serves_the_bytes_with_the_digest_as_ETag()
    {
        using var stored = await PostAsync("kind=onnx", Hello);
        using var answer = await SendAsync(Get(HelloDigest));

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(Hello, await answer.Content.ReadAsByteArrayAsync(Cancellation));
        Assert.Equal($"\"{HelloDigest}\"", answer.Headers.ETag?.Tag);
        Assert.Equal("onnx", Assert.Single(answer.Headers.GetValues("Tiny-Artifact-Kind")));
    }

    [Fact]
    public async Task HEAD_says_the_length_and_sends_no_bytes()
    {
        using var stored = await PostAsync("kind=onnx", Hello);
        using var answer = await SendAsync(Get(HelloDigest, HttpMethod.Head));

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(Hello.Length, answer.Content.Headers.ContentLength);
        Assert.Empty(await answer.Content.ReadAsByteArrayAsync(Cancellation));
    }

    [Fact]
    public async Task Serves_a_range()
    {
        using var stored = await PostAsync("kind=onnx", Hello);
        var request = Get(HelloDigest);
        request.Headers.Range = new RangeHeaderValue(7, 10);
        using var answer = await SendAsync(request);

        Assert.Equal(HttpStatusCode.PartialContent, answer.StatusCode);
        Assert.Equal("arti", await answer.Content.ReadAsStringAsync(Cancellation));
        Assert.Equal($"bytes 7-10/{Hello.Length}", answer.Content.Headers.ContentRange?.ToString());
    }

    [Fact]
    public async Task A_range_past_the_end_is_416()
    {
        using var stored = await PostAsync("kind=onnx", Hello);
        var request = Get(HelloDigest);
        request.Headers.Range = new RangeHeaderValue(1000, 1001);
        using var answer = await SendAsync(request);

        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, answer.StatusCode);
    }

    [Fact]
    public async Task A_known_ETag_is_304()
    {
        using var stored = await PostAsync("kind=onnx", Hello);
        var request = Get(HelloDigest);
        request.Headers.IfNoneMatch.Add(new EntityTagHeaderValue($"\"{HelloDigest}\""));
        using var answer = await SendAsync(request);

        Assert.Equal(HttpStatusCode.NotModified, answer.StatusCode);
    }

    [Fact]
    public async Task A_digest_that_is_not_there_is_404_and_named()
    {
        var digest = "sha256:" + new string('b', 64);
        using var answer = await SendAsync(Get(digest));

        var problem = await ProblemAsync(answer, HttpStatusCode.NotFound, "artifact-not-found");
        Assert.Contains(digest, problem.Detail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("sha256:xyz")]
    [InlineData("..%2F..%2Fetc%2Fpasswd")]
    [InlineData("%2e%2e")]
    [InlineData("sha256:%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd0000000000000000000000000000")]
    public async Task A_digest_that_is_none_is_refused(string digest)
    {
        // HttpClient tidies dots away before it sends, so the request is written by hand.
        var answer = await RawAsync($"GET /v1/artifacts/{digest} HTTP/1.1\r\nHost: x\r\nTiny-Tenant: default\r\nConnection: close\r\n\r\n");

        Assert.True(answer.StartsWith("HTTP/1.1 400", StringComparison.Ordinal) || answer.StartsWith("HTTP/1.1 404", StringComparison.Ordinal), answer);
        Assert.DoesNotContain("root:", answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("kind=")]
    [InlineData("kind=exe")]
    [InlineData("kind=../onnx")]
    public async Task An_unknown_kind_is_refused_with_the_list(string query)
    {
        using var answer = await PostAsync(query, Hello);

        var problem = await ProblemAsync(answer, HttpStatusCode.BadRequest, "unknown-kind");
        Assert.EndsWith("one of onnx, dataset, report, bundle, oci-image, disk-image, c-source, log.", problem.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_empty_body_is_refused()
    {
        using var answer = await PostAsync("kind=onnx", []);

        await ProblemAsync(answer, HttpStatusCode.BadRequest, "empty-artifact");
    }

    [Theory]
    [InlineData("Tiny-Digest")]
    [InlineData("Digest")]
    public async Task An_announced_digest_must_be_that_of_the_body(string header)
    {
        string Announce(byte[] bytes) => header == "Digest"
            ? "sha-256=" + Convert.ToBase64String(SHA256.HashData(bytes))
            : "sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes));

        using var wrong = await PostAsync("kind=onnx", Hello, (header, Announce([1, 2, 3])));
        var problem = await ProblemAsync(wrong, HttpStatusCode.UnprocessableEntity, "digest-mismatch");
        Assert.Contains(HelloDigest, problem.Detail, StringComparison.Ordinal);
        using var absent = await SendAsync(Get(HelloDigest));
        Assert.Equal(HttpStatusCode.NotFound, absent.StatusCode);

        using var right = await PostAsync("kind=onnx", Hello, (header, Announce(Hello)));
        Assert.Equal(HttpStatusCode.Created, right.StatusCode);
    }

    [Theory]
    [InlineData("Tiny-Digest", "md5:abc")]
    [InlineData("Digest", "md5=abc")]
    [InlineData("Digest", "sha-256=AAAA")]
    public async Task An_announced_digest_that_is_none_is_refused(string header, string value)
    {
        using var answer = await PostAsync("kind=onnx", Hello, (header, value));

        await ProblemAsync(answer, HttpStatusCode.BadRequest, "invalid-digest");
    }

    [Fact]
    public async Task A_body_that_is_too_large_is_413_whether_it_says_so_or_not()
    {
        var large = new byte[2001];
        using var announced = await PostAsync("kind=onnx", large);
        await ProblemAsync(announced, HttpStatusCode.RequestEntityTooLarge, "artifact-too-large");

        var request = new HttpRequestMessage(HttpMethod.Post, "/v1/artifacts?kind=onnx") { Content = new ByteArrayContent(large) };
        request.Headers.TransferEncodingChunked = true;
        request.Headers.Add("Tiny-Tenant", "default");
        using var chunked = await SendAsync(request);
        await ProblemAsync(chunked, HttpStatusCode.RequestEntityTooLarge, "artifact-too-large");
    }

    [Fact]
    public async Task A_body_that_says_it_is_too_large_is_not_asked_for()
    {
        using var http = new HttpClient(new SocketsHttpHandler { Expect100ContinueTimeout = Timeout.InfiniteTimeSpan }) { BaseAddress = Http.BaseAddress };
        var body = new AskedFor(2001);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/artifacts?kind=onnx") { Content = body };
        request.Headers.Add("Tiny-Tenant", "default");
        request.Headers.ExpectContinue = true;

        using var answer = await http.SendAsync(request, Cancellation);

        await ProblemAsync(answer, HttpStatusCode.RequestEntityTooLarge, "artifact-too-large");
        Assert.False(body.WasAsked);
    }

    [Fact]
    public async Task A_body_that_breaks_off_stores_nothing()
    {
        var digest = "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes("half")));
        await RawAsync("POST /v1/artifacts?kind=onnx HTTP/1.1\r\nHost: x\r\nTiny-Tenant: default\r\nContent-Length: 100\r\n\r\nhalf", breakOff: true);

        using var answer = await SendAsync(Get(digest));
        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("..")]
    [InlineData("Acme")]
    [InlineData("a/b")]
    public async Task A_request_without_a_proper_tenant_is_refused(string? tenant)
    {
        using var post = new HttpRequestMessage(HttpMethod.Post, "/v1/artifacts?kind=onnx") { Content = new ByteArrayContent(Hello) };
        using var get = new HttpRequestMessage(HttpMethod.Get, "/v1/artifacts/" + HelloDigest);
        if (tenant is not null)
        {
            post.Headers.Add("Tiny-Tenant", tenant);
            get.Headers.Add("Tiny-Tenant", tenant);
        }
        using var posted = await Http.SendAsync(post, Cancellation);
        using var got = await Http.SendAsync(get, Cancellation);

        await ProblemAsync(posted, HttpStatusCode.BadRequest, "invalid-tenant");
        await ProblemAsync(got, HttpStatusCode.BadRequest, "invalid-tenant");
    }

    [Fact]
    public async Task Ready_while_the_folder_can_be_written_and_says_why_when_not()
    {
        using var ready = await Http.GetAsync("/health/ready", Cancellation);
        Assert.Equal(HttpStatusCode.OK, ready.StatusCode);

        Directory.Delete(_root[".incoming"]);
        using var broken = await Http.GetAsync("/health/ready", Cancellation);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, broken.StatusCode);
        var readiness = await broken.Content.ReadFromJsonAsync<Readiness>(ContractJson.Options, Cancellation);
        Assert.Equal("artifact-store", Assert.Single(readiness!.Missing).Service);
    }

    [Theory]
    [InlineData("", "100", "ArtifactStore:Root is not set.")]
    [InlineData("/tmp/unused", "0", "ArtifactStore:MaxBytes must be at least 1.")]
    public async Task Does_not_start_with_a_wrong_option(string root, string maxBytes, string expected)
    {
        var refused = await Assert.ThrowsAsync<OptionsValidationException>(() => StartAsync(root, maxBytes));

        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
    }

    private static Task<RunningServices> StartAsync(string root, string maxBytes = "2000") => RunningServices.StartAsync(
        [new ArtifactStoreModule()],
        new Dictionary<string, string?> { ["ArtifactStore:Root"] = root, ["ArtifactStore:MaxBytes"] = maxBytes });

    private static HttpRequestMessage Get(string digest, HttpMethod? method = null) => new(method ?? HttpMethod.Get, $"/v1/artifacts/{digest}")
    {
        Headers = { { "Tiny-Tenant", "default" } },
    };

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request)
    {
        using (request)
            return await Http.SendAsync(request, Cancellation);
    }

    private Task<HttpResponseMessage> PostAsync(string query, byte[] bytes, (string Name, string Value)? header = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/artifacts?{query}") { Content = new ByteArrayContent(bytes) };
        request.Headers.Add("Tiny-Tenant", "default");
        if (header is { } extra)
            request.Headers.TryAddWithoutValidation(extra.Name, extra.Value);
        return SendAsync(request);
    }

    private static async Task<Problem> ProblemAsync(HttpResponseMessage answer, HttpStatusCode status, string code)
    {
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
        var problem = await answer.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, Cancellation);
        Assert.Equal((status, code), (answer.StatusCode, problem!.Code));
        return problem;
    }

    private async Task<string> RawAsync(string request, bool breakOff = false)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(Http.BaseAddress!.Host, Http.BaseAddress.Port, Cancellation);
        await using var stream = socket.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(request), Cancellation);
        if (breakOff)
            socket.Client.Shutdown(SocketShutdown.Send);
        using var reader = new StreamReader(stream, Encoding.UTF8);
        try
        {
            return await reader.ReadToEndAsync(Cancellation).WaitAsync(TimeSpan.FromSeconds(20), Cancellation);
        }
        catch (IOException e) when (breakOff && e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionReset })
        {
            // Whether the server answers half a request or drops the connection is its own choice.
            return "";
        }
    }

    /// <summary>Content that knows whether anyone wanted it.</summary>
    private sealed class AskedFor(int length) : HttpContent
    {
        public bool WasAsked { get; private set; }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            WasAsked = true;
            return stream.WriteAsync(new byte[length], 0, length);
        }

        protected override bool TryComputeLength(out long size)
        {
            size = length;
            return true;
        }
    }
}
