using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.ServiceDefaults;
using TinyMLaaS.Services.Tests.Hosting;
using TinyMLaaS.Services.Tests.Orchestrator;

namespace TinyMLaaS.Services.Tests.WorkerHost;

/// <summary>What the client does when the store, or the wire, does not keep its word. With a store that does, WorkerTests use it throughout.</summary>
public sealed class ArtifactStoreClientTests : IDisposable
{
    private static readonly ArtifactRef Right = Runs.Artifact("the right bytes", ArtifactKinds.Onnx);
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("the wrong bytes")]
    [InlineData("the right")]
    [InlineData("the right bytes and then some more")]
    public async Task Other_bytes_than_asked_for_are_an_error_and_leave_no_file(string sent)
    {
        using var http = Answering(() => new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent(sent) });
        var error = await Assert.ThrowsAsync<ArtifactStoreException>(() => new ArtifactStoreClient(http).GetFileAsync("default", Right, _folder["got"], Cancellation));
        Assert.Equal(ArtifactStoreException.DigestMismatch, error.Code);
        Assert.False(File.Exists(_folder["got"]));
    }

    [Fact]
    public async Task The_right_bytes_are_written()
    {
        using var http = Answering(() => new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent("the right bytes") });
        await new ArtifactStoreClient(http).GetFileAsync("default", Right, _folder["got"], Cancellation);
        Assert.Equal("the right bytes", await File.ReadAllTextAsync(_folder["got"], Cancellation));
    }

    [Fact]
    public async Task A_file_that_is_there_already_is_left_alone()
    {
        await File.WriteAllTextAsync(_folder["mine"], "mine", Cancellation);
        using var http = Answering(() => new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent("the right bytes") });
        await Assert.ThrowsAsync<IOException>(() => new ArtifactStoreClient(http).GetFileAsync("default", Right, _folder["mine"], Cancellation));
        Assert.Equal("mine", await File.ReadAllTextAsync(_folder["mine"], Cancellation));
    }

    [Fact]
    public async Task A_store_that_stored_something_else_is_found_out()
    {
        using var http = Answering(() => new HttpResponseMessage(HttpStatusCode.Created) { Content = JsonContent.Create(Right, options: ContractJson.Options) });
        using var stream = new MemoryStream("the wrong bytes"u8.ToArray());
        var error = await Assert.ThrowsAsync<ArtifactStoreException>(() => new ArtifactStoreClient(http).PutAsync("default", ArtifactKinds.Onnx, stream, Cancellation));
        Assert.Equal(ArtifactStoreException.DigestMismatch, error.Code);
    }

    /// <summary>It takes connections and requests, and then hangs: before its answer, or in the middle of it.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nthe ri")]
    public async Task A_store_that_hangs_is_a_store_that_is_away(string answer)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var hanging = Task.Run(async () =>
        {
            while (true)
            {
                var client = await listener.AcceptTcpClientAsync(over.Token);
                await client.GetStream().WriteAsync(System.Text.Encoding.ASCII.GetBytes(answer), over.Token);
                over.Token.Register(client.Dispose);
            }
        }, Cancellation);
        using var http = new HttpClient { BaseAddress = new Uri($"http://{listener.LocalEndpoint}"), Timeout = Timeout.InfiniteTimeSpan };
        var client = new ArtifactStoreClient(http) { StallLimit = TimeSpan.FromMilliseconds(200) };
        using var stream = new MemoryStream("the right bytes"u8.ToArray());

        var fetch = await Assert.ThrowsAsync<HttpRequestException>(() => client.GetFileAsync("default", Right, _folder["got"], Cancellation));
        var store = await Assert.ThrowsAsync<HttpRequestException>(() => client.PutAsync("default", ArtifactKinds.Onnx, stream, Cancellation));

        Assert.Contains($"Cannot fetch {Right.Digest}: nothing moved between here and the artifact-store for 0.2 s.", fetch.Message, StringComparison.Ordinal);
        Assert.Contains("nothing moved", store.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder["got"]));
        await over.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => hanging);
    }

    [Fact]
    public async Task A_transfer_that_moves_may_take_longer_than_the_limit()
    {
        using var http = Answering(() => new HttpResponseMessage(HttpStatusCode.OK) { Content = new StreamContent(new SlowStream("the right bytes"u8.ToArray(), TimeSpan.FromSeconds(1.2))) });

        await new ArtifactStoreClient(http) { StallLimit = TimeSpan.FromSeconds(5) }.GetFileAsync("default", Right, _folder["got"], Cancellation);

        Assert.Equal("the right bytes", await File.ReadAllTextAsync(_folder["got"], Cancellation));
    }

    [Fact]
    public async Task What_is_not_there_is_null_to_look_up_and_an_error_to_fetch()
    {
        using var http = Answering(() => new HttpResponseMessage(HttpStatusCode.NotFound));
        var client = new ArtifactStoreClient(http);
        Assert.Null(await client.HeadAsync("default", Right.Digest, Cancellation));
        var error = await Assert.ThrowsAsync<ArtifactStoreException>(() => client.GetFileAsync("default", Right, _folder["got"], Cancellation));
        Assert.Equal(ArtifactStoreException.NoSuchArtifact, error.Code);
    }

    [Theory]
    [InlineData(HttpStatusCode.ServiceUnavailable, true)]
    [InlineData(HttpStatusCode.BadGateway, true)]
    [InlineData(HttpStatusCode.GatewayTimeout, true)]
    [InlineData(HttpStatusCode.TooManyRequests, true)]
    [InlineData(HttpStatusCode.Unauthorized, false)]
    [InlineData(HttpStatusCode.Forbidden, false)]
    [InlineData(HttpStatusCode.UnprocessableEntity, false)]
    [InlineData(HttpStatusCode.InternalServerError, false)]
    public async Task A_store_that_cannot_answer_now_is_away_and_one_that_refuses_is_not(HttpStatusCode status, bool away)
    {
        using var http = Answering(() => new HttpResponseMessage(status));
        var client = new ArtifactStoreClient(http);
        using var stream = new MemoryStream([1]);
        Exception[] errors =
        [
            (await Record.ExceptionAsync(() => client.GetFileAsync("default", Right, _folder["got"], Cancellation)))!,
            (await Record.ExceptionAsync(() => client.PutAsync("default", ArtifactKinds.Onnx, stream, Cancellation)))!,
        ];
        Assert.All(errors, e => Assert.IsType(away ? typeof(HttpRequestException) : typeof(ArtifactStoreException), e));
    }

    [Fact]
    public async Task A_connection_that_breaks_off_is_a_store_that_is_away()
    {
        using var http = Answering(() => new HttpResponseMessage(HttpStatusCode.OK) { Content = new StreamContent(new BreakingStream()) });
        await Assert.ThrowsAsync<HttpRequestException>(() => new ArtifactStoreClient(http).GetFileAsync("default", Right, _folder["got"], Cancellation));
        Assert.False(File.Exists(_folder["got"]));
    }

    private static HttpClient Answering(Func<HttpResponseMessage> answer) => new(new Store(answer)) { BaseAddress = new Uri("http://store/") };

    /// <summary>Three bytes at a time.</summary>
    private sealed class SlowStream(byte[] content, TimeSpan pause) : MemoryStream(content)
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            await Task.Delay(pause, cancellationToken);
            return await base.ReadAsync(buffer.Length > 3 ? buffer[..3] : buffer, cancellationToken);
        }
    }

    private sealed class BreakingStream : MemoryStream
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => throw new IOException("The other side has reset the connection.");
    }

    private sealed class Store(Func<HttpResponseMessage> answer) : HttpMessageHandler
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (request.Content is not null)
                await request.Content.CopyToAsync(Stream.Null, cancellationToken);
            return answer();
        }
    }
}
