using System.Net;
using System.Net.Http.Json;
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
