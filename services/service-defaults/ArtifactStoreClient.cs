using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// The artifact-store over HTTP. Bytes are streamed both ways and checked against their digest on the way, so a damaged transfer is an
/// error here and never an artifact. Register with <c>AddServiceClient&lt;ArtifactStoreClient&gt;(ArtifactStoreClient.Service)</c>.
/// </summary>
public sealed class ArtifactStoreClient(HttpClient http)
{
    /// <summary>Name of the service that this is a client of.</summary>
    public const string Service = "artifact-store";

    private const int BufferSize = 81920;

    /// <summary>A transfer that does not move for this long is given up as one whose connection broke off; 2 minutes unless set, since the last bytes wait for the store's disk.</summary>
    public TimeSpan StallLimit { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Stores the rest of a stream. The stream is read once, so a failed call cannot be repeated with it.</summary>
    /// <exception cref="ArtifactStoreException">The store refused, or stored other bytes than were sent.</exception>
    /// <exception cref="HttpRequestException">The store cannot be reached, or the connection broke off.</exception>
    public async Task<ArtifactRef> PutAsync(string tenant, string kind, Stream content, CancellationToken cancellation)
    {
        var attempted = $"store an artifact of kind '{kind}'";
        using var transfer = new Transfer(attempted, StallLimit, cancellation);
        // Owned here and not by the stream: the content disposes of the stream as soon as it is sent.
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var hashing = new HashingStream(content, hash, transfer);
        using var body = new StreamContent(hashing, BufferSize);
        body.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        using var request = Request(HttpMethod.Post, $"v1/artifacts?kind={Uri.EscapeDataString(kind)}", tenant);
        request.Content = body;
        using var response = await transfer.ReceiveAsync(stop => http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop));
        await ThrowUnlessSuccessAsync(response, attempted, cancellation);
        var stored = await transfer.ReceiveAsync(stop => response.Content.ReadFromJsonAsync<ArtifactRef>(ContractJson.Options, stop))
            ?? throw new ArtifactStoreException("bad-answer", $"The artifact-store answered an upload of kind '{kind}' with an empty document.");
        var sent = Hex(hash.GetHashAndReset());
        if (stored.Digest != sent || stored.Size != hashing.Length)
        {
            throw new ArtifactStoreException(
                ArtifactStoreException.DigestMismatch,
                $"The artifact-store stored {stored.Size} bytes as {stored.Digest} where {hashing.Length} bytes with {sent} were sent.");
        }
        return stored;
    }

    /// <summary>Stores a file.</summary>
    /// <inheritdoc cref="PutAsync"/>
    public async Task<ArtifactRef> PutFileAsync(string tenant, string kind, string path, CancellationToken cancellation)
    {
        await using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.Asynchronous | FileOptions.SequentialScan);
        return await PutAsync(tenant, kind, file, cancellation);
    }

    /// <summary>Copies an artifact to <paramref name="destination"/>. What was written before an error is not to be used.</summary>
    /// <exception cref="ArtifactStoreException">The store does not have it, or sent other bytes.</exception>
    /// <exception cref="HttpRequestException">The store cannot be reached, or the connection broke off.</exception>
    public async Task GetAsync(string tenant, ArtifactRef artifact, Stream destination, CancellationToken cancellation)
    {
        using var request = Request(HttpMethod.Get, Route(artifact.Digest), tenant);
        var attempted = $"fetch {artifact.Digest}";
        using var transfer = new Transfer(attempted, StallLimit, cancellation);
        using var response = await transfer.ReceiveAsync(stop => http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop));
        await ThrowUnlessSuccessAsync(response, attempted, cancellation);
        await using var source = await response.Content.ReadAsStreamAsync(cancellation);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        long length = 0;
        try
        {
            int read;
            while ((read = await transfer.ReceiveAsync(stop => source.ReadAsync(buffer, stop).AsTask())) > 0)
            {
                length += read;
                // Stopping here keeps a store that sends without end from filling the disk.
                if (length > artifact.Size)
                    break;
                hash.AppendData(buffer, 0, read);
                await destination.WriteAsync(buffer.AsMemory(0, read), cancellation);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
        var digest = Hex(hash.GetHashAndReset());
        if (length != artifact.Size || digest != artifact.Digest)
        {
            throw new ArtifactStoreException(
                ArtifactStoreException.DigestMismatch,
                $"The artifact-store sent {(length > artifact.Size ? "more than " : "")}{Math.Min(length, artifact.Size)} bytes with {digest} for {artifact.Digest} of {artifact.Size} bytes.");
        }
    }

    /// <summary>Copies an artifact to a new file; there is no file after an error.</summary>
    /// <inheritdoc cref="GetAsync"/>
    public async Task GetFileAsync(string tenant, ArtifactRef artifact, string path, CancellationToken cancellation)
    {
        // Opened before the try: a file that was there already is not ours to delete.
        // What is written comes in large pieces already.
        var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0, FileOptions.Asynchronous);
        try
        {
            await using (file)
                await GetAsync(tenant, artifact, file, cancellation);
        }
        catch
        {
            File.Delete(path);
            throw;
        }
    }

    /// <summary>What the store knows of a digest; null when it does not have it.</summary>
    /// <exception cref="ArtifactStoreException">The store refused.</exception>
    /// <exception cref="HttpRequestException">The store cannot be reached, or the connection broke off.</exception>
    public async Task<ArtifactRef?> HeadAsync(string tenant, string digest, CancellationToken cancellation)
    {
        using var request = Request(HttpMethod.Head, Route(digest), tenant);
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
        if (response.StatusCode == HttpStatusCode.NotFound)
            return null;
        await ThrowUnlessSuccessAsync(response, $"look up {digest}", cancellation);
        return new ArtifactRef
        {
            Digest = digest,
            Size = response.Content.Headers.ContentLength ?? throw new ArtifactStoreException("bad-answer", $"The artifact-store answered HEAD of {digest} without a length."),
            Kind = response.Headers.TryGetValues(ServiceHeaders.ArtifactKind, out var kinds)
                ? kinds.First()
                : throw new ArtifactStoreException("bad-answer", $"The artifact-store answered HEAD of {digest} without {ServiceHeaders.ArtifactKind}."),
        };
    }

    private static string Route(string digest) => $"v1/artifacts/{Uri.EscapeDataString(digest)}";

    private static HttpRequestMessage Request(HttpMethod method, string route, string tenant)
    {
        var request = new HttpRequestMessage(method, route);
        request.Headers.Add(ServiceHeaders.Tenant, tenant);
        return request;
    }

    private static async Task ThrowUnlessSuccessAsync(HttpResponseMessage response, string attempted, CancellationToken cancellation)
    {
        if (response.IsSuccessStatusCode)
            return;
        // It, or a proxy before it, says that it cannot answer now: nothing is said about what was asked for.
        if (response.StatusCode is HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout or HttpStatusCode.TooManyRequests or HttpStatusCode.InsufficientStorage)
            throw new HttpRequestException($"Cannot {attempted}: the artifact-store answered {(int)response.StatusCode}.", null, response.StatusCode);
        Problem? problem = null;
        if (response.Content.Headers.ContentType?.MediaType == Problems.MediaType)
        {
            try
            {
                problem = await response.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, cancellation);
            }
            catch (JsonException)
            {
                // The status alone has to do.
            }
        }
        var code = response.StatusCode == HttpStatusCode.NotFound ? ArtifactStoreException.NoSuchArtifact : problem?.Code ?? "store-refused";
        throw new ArtifactStoreException(code, $"Cannot {attempted}: the artifact-store answered {(int)response.StatusCode} {problem?.Detail ?? problem?.Title}".TrimEnd());
    }

    private static string Hex(byte[] hash) => "sha256:" + Convert.ToHexStringLower(hash);

    /// <summary>What comes over the wire, as long as something does; an error of the file that it goes to is another thing.</summary>
    private sealed class Transfer(string attempted, TimeSpan stallLimit, CancellationToken cancellation) : IDisposable
    {
        private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);

        /// <summary>It moves.</summary>
        public void Moved() => _stop.CancelAfter(stallLimit);

        /// <exception cref="HttpRequestException">The connection broke off, or nothing has come for the limit.</exception>
        public async Task<T> ReceiveAsync<T>(Func<CancellationToken, Task<T>> receive)
        {
            Moved();
            try
            {
                return await receive(_stop.Token);
            }
            catch (IOException error)
            {
                throw new HttpRequestException($"Cannot {attempted}: the connection to the artifact-store broke off. {error.Message}", error);
            }
            catch (OperationCanceledException error) when (_stop.IsCancellationRequested && !cancellation.IsCancellationRequested)
            {
                throw new HttpRequestException($"Cannot {attempted}: nothing moved between here and the artifact-store for {stallLimit.TotalSeconds:0.#} s.", error);
            }
        }

        public void Dispose() => _stop.Dispose();
    }

    /// <summary>Hashes what passes through; owns neither the stream below nor the hash.</summary>
    private sealed class HashingStream(Stream inner, IncrementalHash hash, Transfer transfer) : Stream
    {
        private long _length;

        public override bool CanRead => true;

        // Not seekable on purpose: the bytes are hashed once, so they must be sent once.
        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => _length;

        public override long Position
        {
            get => _length;
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            var read = inner.Read(buffer, offset, count);
            transfer.Moved();
            hash.AppendData(buffer, offset, read);
            _length += read;
            return read;
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await inner.ReadAsync(buffer, cancellationToken);
            transfer.Moved();
            hash.AppendData(buffer.Span[..read]);
            _length += read;
            return read;
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
