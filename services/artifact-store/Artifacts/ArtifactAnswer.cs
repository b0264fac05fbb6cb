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
    private readonly EntityTagHeaderValue _tag;
    private byte[] _sending;
    private byte[] _reading;
    private int _count;

    private ArtifactAnswer(ArtifactContent content, EntityTagHeaderValue tag)
    {
        _content = content;
        _tag = tag;
        // What is small needs neither two blocks nor large ones.
        var block = (int)Math.Min(BlockBytes, Math.Max(1, content.Length));
        _sending = ArrayPool<byte>.Shared.Rent(block);
        _reading = content.Length > block ? ArrayPool<byte>.Shared.Rent(block) : [];
    }

    /// <summary>Reads the first block.</summary>
    /// <exception cref="ArtifactDamagedException">It is all there is, and damaged.</exception>
    public static async Task<ArtifactAnswer> BeginAsync(ArtifactContent content, EntityTagHeaderValue tag, CancellationToken cancellation)
    {
        var answer = new ArtifactAnswer(content, tag);
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
            response.ContentType = MediaType;
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
