using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Health;

namespace TinyMLaaS.Tinyml.Http;

/// <summary>
/// Speaks the contracts with pipeline-api. A lost connection is tried again for <see cref="LostLimit"/>, so that a server may restart under
/// a run: reads and small uploads repeat as they are, large uploads go on where they were cut, other writes carry one <c>Idempotency-Key</c> for all their tries.
/// </summary>
internal sealed class ApiClient : IDisposable
{
    private const int CopyBytes = 1 << 16;
    private const long ResumableBytes = 4 << 20;
    private const int UploadTries = 10;
    private const long SlowestBytesPerSecond = 50_000;
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan ProbeLimit = TimeSpan.FromSeconds(6);
    private static readonly TimeSpan FirstDelay = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(1);

    private readonly HttpClient _http;
    private readonly TimeProvider _time;
    private readonly Action<string> _say;

    public ApiClient(Uri server, string? key, TimeProvider time, Action<string> say)
    {
        Server = server;
        _time = time;
        _say = say;
        _http = new HttpClient(new SocketsHttpHandler { UseProxy = !server.IsLoopback, ConnectTimeout = TimeSpan.FromSeconds(5), PooledConnectionLifetime = TimeSpan.FromMinutes(5) })
        {
            BaseAddress = server,
            Timeout = Timeout.InfiniteTimeSpan,
        };
        if (!string.IsNullOrEmpty(key))
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
    }

    public Uri Server { get; }

    /// <summary>How long a lost connection is tried again.</summary>
    public TimeSpan LostLimit { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long an answer 503 is tried again: a service that is just starting gets this time.</summary>
    public TimeSpan UnavailableLimit { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Waits until every service is there.</summary>
    /// <exception cref="CommandException">Something is still missing after <paramref name="limit"/>; it is named.</exception>
    public async Task WaitUntilReadyAsync(TimeSpan limit, CancellationToken cancellation)
    {
        var start = _time.GetTimestamp();
        while (true)
        {
            var (missing, unreachable) = await ProbeAsync(cancellation);
            if (missing is { Count: 0 })
                return;
            if (_time.GetElapsedTime(start) >= limit)
                throw missing is null ? NoAnswer(unreachable) : Missing(missing);
            await Task.Delay(FirstDelay, _time, cancellation);
        }
    }

    /// <summary>What is missing now; null when the server itself does not answer.</summary>
    public async Task<IReadOnlyList<MissingService>?> MissingAsync(CancellationToken cancellation) => (await ProbeAsync(cancellation)).Missing;

    /// <summary>Reads a resource.</summary>
    public Task<T> GetAsync<T>(string path, CancellationToken cancellation) => SendAsync(
        () => new HttpRequestMessage(HttpMethod.Get, path), AnswerLimit, ReadAsync<T>, cancellation);

    /// <summary>Reads a resource in the form of this media type.</summary>
    public Task<T> GetAsync<T>(string path, string accept, CancellationToken cancellation) => SendAsync(
        () => new HttpRequestMessage(HttpMethod.Get, path) { Headers = { { "Accept", accept } } }, AnswerLimit, ReadAsync<T>, cancellation);

    /// <summary>Sends a request that is done once, however often it has to be sent.</summary>
    public Task<T> PostAsync<T>(string path, object? body, CancellationToken cancellation)
    {
        var key = Guid.NewGuid().ToString();
        return SendAsync(
            () =>
            {
                var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = body is null ? null : JsonContent.Create(body, options: ContractJson.Options) };
                request.Headers.Add("Idempotency-Key", key);
                return request;
            },
            AnswerLimit, ReadAsync<T>, cancellation);
    }

    /// <summary>Removes a resource. Removing it again changes nothing.</summary>
    public Task DeleteAsync(string path, CancellationToken cancellation) => SendAsync(
        () => new HttpRequestMessage(HttpMethod.Delete, path), AnswerLimit, (_, _) => Task.FromResult(true), cancellation);

    /// <summary>Stores a file. A large one that the server has already is not sent; one whose upload was cut, of this process or of another, goes on where it was.</summary>
    public async Task<ArtifactRef> UploadAsync(string path, string kind, CancellationToken cancellation)
    {
        byte[] hash;
        long size;
        await using (var file = OpenToRead(path))
        {
            size = file.Length;
            hash = await SHA256.HashDataAsync(file, cancellation);
        }
        var digest = "sha256:" + Convert.ToHexStringLower(hash);
        if (size >= ResumableBytes)
            return await UploadInPartsAsync(path, kind, digest, size, cancellation);
        return await SendAsync(
            () =>
            {
                var request = new HttpRequestMessage(HttpMethod.Post, $"v1/artifacts?kind={Uri.EscapeDataString(kind)}") { Content = new StreamContent(OpenToRead(path), CopyBytes) };
                request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
                request.Headers.Add("Tiny-Digest", digest);
                return request;
            },
            AnswerLimit + TimeSpan.FromSeconds(size / SlowestBytesPerSecond), ReadAsync<ArtifactRef>, cancellation);
    }

    // An upload can be gone: given up by the server, or ended by a request whose answer was lost. Then the digest says which.
    private async Task<ArtifactRef> UploadInPartsAsync(string path, string kind, string digest, long size, CancellationToken cancellation)
    {
        for (var left = UploadTries; ; left--)
        {
            var (known, upload) = await SendAsync(
                () => new HttpRequestMessage(HttpMethod.Post, $"v1/uploads?kind={Uri.EscapeDataString(kind)}") { Headers = { { "Tiny-Digest", digest } } },
                AnswerLimit, ReadBegunAsync, cancellation);
            if (known is not null)
                return known;
            try
            {
                return await UploadPartsAsync(upload!, path, digest, size, cancellation);
            }
            catch (CommandException e) when (left > 1 && e.Code is "upload-not-found" or "upload-offset" or "upload-taken-over")
            {
                // Another sender of the same file may be ahead, and done in a moment.
                await Task.Delay(FirstDelay, _time, cancellation);
            }
        }
    }

    private async Task<ArtifactRef> UploadPartsAsync(UploadResource upload, string path, string digest, long size, CancellationToken cancellation)
    {
        var (route, received) = ($"v1/uploads/{upload.Id}", upload.Received);
        async Task<bool> LookAsync()
        {
            var before = received;
            received = (await GetAsync<UploadResource>(route, cancellation)).Received;
            return received > before;
        }
        while (received < size)
        {
            var from = received;
            received = (await SendAsync(
                () =>
                {
                    // When all has arrived and only the answer was lost, this part is empty.
                    var file = OpenToRead(path);
                    file.Position = from = received;
                    var request = new HttpRequestMessage(HttpMethod.Patch, route) { Content = new StreamContent(file, CopyBytes) };
                    request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
                    if (from < size)
                        request.Content.Headers.TryAddWithoutValidation("Content-Range", string.Create(CultureInfo.InvariantCulture, $"{from}-{size - 1}"));
                    return request;
                },
                AnswerLimit + TimeSpan.FromSeconds(size / SlowestBytesPerSecond), ReadAsync<UploadResource>, cancellation, LookAsync)).Received;
            if (received <= from)
                break;
        }
        return await SendAsync(() => new HttpRequestMessage(HttpMethod.Put, $"{route}?digest={digest}"), AnswerLimit + TimeSpan.FromSeconds(size / SlowestBytesPerSecond), ReadAsync<ArtifactRef>, cancellation);
    }

    private static async Task<(ArtifactRef? Known, UploadResource? Upload)> ReadBegunAsync(HttpResponseMessage response, CancellationToken cancellation) => response.StatusCode == HttpStatusCode.OK
        ? (await ReadAsync<ArtifactRef>(response, cancellation), null)
        : (null, await ReadAsync<UploadResource>(response, cancellation));

    /// <summary>Writes an artifact to a file that does not exist yet, and checks every byte of it.</summary>
    public Task DownloadAsync(ArtifactRef artifact, string path, CancellationToken cancellation) => SendAsync(
        () => new HttpRequestMessage(HttpMethod.Get, $"v1/artifacts/{artifact.Digest}"),
        AnswerLimit + TimeSpan.FromSeconds(artifact.Size / SlowestBytesPerSecond),
        async (response, token) =>
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            await using var body = await response.Content.ReadAsStreamAsync(token);
            await using var file = OpenToWrite(path);
            var buffer = new byte[CopyBytes];
            int read;
            while ((read = await body.ReadAsync(buffer, token)) > 0)
            {
                hash.AppendData(buffer, 0, read);
                try
                {
                    await file.WriteAsync(buffer.AsMemory(0, read), token);
                }
                catch (IOException e)
                {
                    throw NotWritable(path, e);
                }
            }
            var got = "sha256:" + Convert.ToHexStringLower(hash.GetHashAndReset());
            // A cut or altered answer counts as a lost connection: it is fetched again.
            return got == artifact.Digest ? true : throw new HttpIOException(HttpRequestError.ResponseEnded, $"the bytes of {artifact.Digest} arrived with the digest {got}");
        },
        cancellation);

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    /// <summary>The error that names what is missing.</summary>
    public static CommandException Missing(IReadOnlyList<MissingService> missing) => new(
        ExitCodes.NoServer, "service-missing",
        missing.Count == 1
            ? $"The service '{missing[0].Service}' is missing: {missing[0].Reason}."
            : $"{missing.Count} services are missing: {string.Join("; ", missing.Select(m => $"'{m.Service}' ({m.Reason})"))}.",
        [.. missing.Select(m => new Violation { Field = "", Code = "service-missing", Message = $"The service '{m.Service}' is missing: {m.Reason}." })]);

    private async Task<(IReadOnlyList<MissingService>? Missing, string Unreachable)> ProbeAsync(CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(ProbeLimit);
        try
        {
            using var response = await _http.GetAsync("health/ready", limit.Token);
            if (response.StatusCode is not (HttpStatusCode.OK or HttpStatusCode.ServiceUnavailable))
                return (null, $"it answers /health/ready with {(int)response.StatusCode}, so it is no TinyMLaaS server");
            var readiness = await ReadAsync<Readiness>(response, limit.Token);
            return (readiness.Missing, "");
        }
        catch (Exception e) when (IsLost(e, cancellation))
        {
            return (null, Reason(e));
        }
        catch (CommandException e)
        {
            return (null, e.Message);
        }
    }

    // Before a lost request is sent again, progressed says whether some of it has arrived: then the time of being lost begins anew.
    private async Task<T> SendAsync<T>(
        Func<HttpRequestMessage> create, TimeSpan answerLimit, Func<HttpResponseMessage, CancellationToken, Task<T>> read, CancellationToken cancellation, Func<Task<bool>>? progressed = null)
    {
        long? lost = null;
        long? unavailable = null;
        var said = false;
        for (var delay = FirstDelay; ; delay = delay * 2 < LongestDelay ? delay * 2 : LongestDelay)
        {
            try
            {
                using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
                limit.CancelAfter(answerLimit);
                using var request = create();
                using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
                if (response.IsSuccessStatusCode)
                    return await read(response, limit.Token);
                var refusal = await RefusalAsync(response, limit.Token);
                lost = null;
                unavailable ??= _time.GetTimestamp();
                if (refusal.ExitCode != ExitCodes.NoServer || response.StatusCode != HttpStatusCode.ServiceUnavailable
                    || _time.GetElapsedTime(unavailable.Value) >= UnavailableLimit)
                    throw refusal;
            }
            catch (Exception e) when (IsLost(e, cancellation))
            {
                lost ??= _time.GetTimestamp();
                if (_time.GetElapsedTime(lost.Value) >= LostLimit)
                    throw NoAnswer(Reason(e));
                if (!said)
                    _say($"The connection to {Server} is lost ({Reason(e)}); trying again for {LostLimit.TotalSeconds:0} s.");
                said = true;
            }
            await Task.Delay(delay, _time, cancellation);
            if (lost is not null && progressed is not null && await progressed())
                (lost, delay) = (null, FirstDelay);
        }
    }

    private static bool IsLost(Exception e, CancellationToken cancellation) =>
        !cancellation.IsCancellationRequested && e is HttpRequestException or IOException or SocketException or OperationCanceledException;

    private static string Reason(Exception e) => e is OperationCanceledException ? "it does not answer in time" : e.GetBaseException().Message;

    private CommandException NoAnswer(string reason) => new(
        ExitCodes.NoServer, "no-server", $"The server {Server} does not answer: {reason}. Start one with 'tinyml serve', or leave --server and TINYML_SERVER out to run without.");

    private static async Task<T> ReadAsync<T>(HttpResponseMessage response, CancellationToken cancellation)
    {
        try
        {
            return await response.Content.ReadFromJsonAsync<T>(ContractJson.Options, cancellation) ?? throw new JsonException("it is null");
        }
        catch (Exception e) when (e is JsonException or NotSupportedException)
        {
            throw new CommandException(
                ExitCodes.Bug, "unreadable-answer",
                $"The answer to {response.RequestMessage?.Method} {response.RequestMessage?.RequestUri} is no {typeof(T).Name}: {e.Message} Server and command line may be of different versions.", inner: e);
        }
    }

    private static async Task<CommandException> RefusalAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        Problem? problem = null;
        try
        {
            if (response.Content.Headers.ContentType?.MediaType is "application/problem+json")
                problem = await response.Content.ReadFromJsonAsync<Problem>(ContractJson.Options, cancellation);
        }
        catch (JsonException)
        {
            // An intermediary's page; the status says enough.
        }
        var status = (int)response.StatusCode;
        var exitCode = status switch
        {
            401 or 403 or 502 or 503 or 504 => ExitCodes.NoServer,
            // An artifact that the server has let rot is nothing that its owner did wrong.
            410 or >= 500 => ExitCodes.Bug,
            _ => ExitCodes.WrongInput,
        };
        var message = problem is null
            ? $"{response.RequestMessage?.Method} {response.RequestMessage?.RequestUri} answers {status} {response.ReasonPhrase}."
            : problem.Detail ?? problem.Title;
        if (problem is { TraceId: { } trace } && status == 500)
            message += $" Trace id {trace}.";
        return problem is { Errors.Count: > 0 }
            ? CommandException.Rejected(message, problem.Errors, problem.Code)
            : new CommandException(exitCode, problem?.Code ?? $"http-{status}", message);
    }

    // No buffer of its own: a full disk shows at the write that it stops, not when the stream is closed.
    private static FileStream OpenToWrite(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0, FileOptions.Asynchronous);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw NotWritable(path, e);
        }
    }

    private static CommandException NotWritable(string path, Exception e) =>
        new(ExitCodes.WrongInput, "file-not-writable", $"Cannot write '{path}': {e.Message}", inner: e);

    private static FileStream OpenToRead(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, CopyBytes, FileOptions.Asynchronous | FileOptions.SequentialScan);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException(ExitCodes.WrongInput, "file-not-readable", $"Cannot read '{path}': {e.Message}", inner: e);
        }
    }
}
