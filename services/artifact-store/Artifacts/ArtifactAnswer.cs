using System.Buffers;
using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;
using TinyMLaaS.ArtifactStore.Storage;

namespace TinyMLaaS.ArtifactStore.Artifacts;

/// <summary>
/// A whole artifact as an answer. While one block is sent the next is read and hashed, and the last is sent only when the digest is right. If it is not, the connection
/// is cut there: an answer with all of its bytes is the artifact. What fits into one block is refused in words before anything is sent.
/// </summary>
internal sealed class ArtifactAnswer : IResult
{
    public const string MediaType = "application/octet-stream";

    private const int BlockBytes = 1 << 20;

    private readonly ArtifactContent _content;
    private readonly string _mediaType;
    private readonly EntityTagHeaderValue _tag;
    private byte[] _sending;
    private byte[] _reading;
    private int _count;

    private ArtifactAnswer(ArtifactContent content, string mediaType, EntityTagHeaderValue tag)
    {
        _content = content;
        _mediaType = mediaType;
        _tag = tag;
        // What is small needs neither two blocks nor large ones.
        var block = (int)Math.Min(BlockBytes, Math.Max(1, content.Length));
        _sending = ArrayPool<byte>.Shared.Rent(block);
        _reading = content.Length > block ? ArrayPool<byte>.Shared.Rent(block) : [];
    }

    /// <summary>What a GET or HEAD asks for: all of it, a part, its length, or nothing because the client has it.</summary>
    /// <param name="http">The request; headers of the answer are set.</param>
    /// <param name="content">Disposed of with the answer, or here when there is none.</param>
    /// <param name="digest">Its name.</param>
    /// <param name="mediaType">What it is served as.</param>
    /// <param name="cancellation">The request's.</param>
    /// <exception cref="ArtifactDamagedException">That was found before anything is sent.</exception>
    public static async Task<IResult> ForAsync(HttpContext http, ArtifactContent content, Digest digest, string mediaType, CancellationToken cancellation)
    {
        try
        {
            var tag = new EntityTagHeaderValue($"\"{digest}\"");
            var request = http.Request;
            // A part says nothing about the whole, and whoever has the bytes already needs none.
            var isWhole = HttpMethods.IsGet(request.Method) && request.Headers.Range.Count == 0 && request.Headers.IfNoneMatch.Count == 0 && request.Headers.IfMatch.Count == 0;
            if (!isWhole && HttpMethods.IsGet(request.Method))
                await content.VerifyAsync(cancellation);
            // A digest never means other bytes, so what was read once stays true; only the owner may keep it.
            var headers = http.Response.Headers;
            headers.CacheControl = "private, max-age=31536000, immutable";
            headers.XContentTypeOptions = "nosniff";
            return isWhole
                ? await BeginAsync(content, mediaType, tag, cancellation)
                : Results.Stream(content, mediaType, entityTag: tag, enableRangeProcessing: true);
        }
        catch
        {
            await content.DisposeAsync();
            throw;
        }
    }

    // Reads the first block.
    private static async Task<ArtifactAnswer> BeginAsync(ArtifactContent content, string mediaType, EntityTagHeaderValue tag, CancellationToken cancellation)
    {
        var answer = new ArtifactAnswer(content, mediaType, tag);
        try
        {
            answer._count = await answer.FillAsync(answer._sending, cancellation);
            return answer;
        }
        catch
        {
            answer.Return();
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var (response, cancellation) = (httpContext.Response, httpContext.RequestAborted);
        var next = Task.FromResult(0);
        try
        {
            response.ContentType = _mediaType;
            response.ContentLength = _content.Length;
            response.Headers.ETag = _tag.ToString();
            response.Headers.AcceptRanges = "bytes";
            while (_count > 0)
            {
                next = _reading.Length == 0 ? Task.FromResult(0) : FillAsync(_reading, cancellation);
                await response.Body.WriteAsync(_sending.AsMemory(0, _count), cancellation);
                _count = await next;
                (_sending, _reading) = (_reading, _sending);
            }
        }
        catch (ArtifactDamagedException)
        {
            // The store has told it in its log, and says it in words to whoever asks next.
            httpContext.Abort();
        }
        finally
        {
            // A block that is being read must not be lent to others.
            await next.ContinueWith(_ => { }, TaskScheduler.Default);
            Return();
            await _content.DisposeAsync();
        }
    }

    private async Task<int> FillAsync(byte[] block, CancellationToken cancellation)
    {
        var filled = 0;
        var most = Math.Min(block.Length, BlockBytes);
        while (filled < most)
        {
            var read = await _content.ReadAsync(block.AsMemory(filled, most - filled), cancellation);
            if (read == 0)
                break;
            filled += read;
        }
        return filled;
    }

    private void Return()
    {
        foreach (var block in new[] { _sending, _reading }.Where(b => b.Length > 0))
            ArrayPool<byte>.Shared.Return(block);
    }
}
