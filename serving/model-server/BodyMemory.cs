using System.Buffers;
using Microsoft.AspNetCore.Http;

namespace TinyMLaaS.ModelServer;

/// <summary>Bounds what the bodies of all requests and answers hold at once: however many clients there are, and however slowly they send and read, the server keeps no more than that for them.</summary>
/// <param name="most">Bytes of all bodies together.</param>
/// <param name="mostOfOne">Bytes of one body.</param>
internal sealed class BodyMemory(long most, int mostOfOne)
{
    private const int First = 16 * 1024;
    private long _taken;

    /// <summary>What the bodies hold now, in bytes.</summary>
    public long Taken => Interlocked.Read(ref _taken);

    /// <summary>Reads a body to its end.</summary>
    /// <exception cref="RefusedException">It is too large, or there is no room for it now.</exception>
    public async Task<Body> ReadAsync(HttpRequest request, CancellationToken cancellation)
    {
        if (request.ContentLength > mostOfOne)
            throw TooLarge();
        var body = new Body(this);
        try
        {
            body.Grow((int)Math.Min(request.ContentLength ?? First, mostOfOne));
            while (body.Length != request.ContentLength)
            {
                if (body.Rest.IsEmpty && body.Length == mostOfOne)
                    return await request.Body.ReadAsync(new byte[1], cancellation) == 0 ? body : throw TooLarge();
                if (body.Rest.IsEmpty)
                    body.Grow((int)Math.Min(2L * body.Length, mostOfOne));
                if (await request.Body.ReadAsync(body.Rest, cancellation) is not (> 0 and var read))
                    return body;
                body.Length += read;
            }
            return body;
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    /// <summary>Makes room for the outputs of an inference until they have left.</summary>
    /// <exception cref="RefusedException">There is no room for them now.</exception>
    public Room TakeForOutputs(long bytes)
    {
        Take(bytes);
        return new Room(this, bytes);
    }

    private RefusedException TooLarge() => new(413, "body-too-large", $"The body is larger than {mostOfOne >> 20} MiB, the largest that this server takes (--max-body-mib).");

    private void Take(long bytes)
    {
        if (Interlocked.Add(ref _taken, bytes) <= most)
            return;
        Interlocked.Add(ref _taken, -bytes);
        throw new RefusedException(503, "overloaded", $"There is no room for {bytes} bytes: this server keeps {most >> 20} MiB for the bodies of all requests and answers (--max-memory-mib), and {Taken >> 20} MiB are taken. Try again.");
    }

    /// <summary>Bytes that are taken until this is disposed of.</summary>
    internal readonly struct Room(BodyMemory memory, long bytes) : IDisposable
    {
        public void Dispose() => Interlocked.Add(ref memory._taken, -bytes);
    }

    /// <summary>A body, while it is needed.</summary>
    internal sealed class Body(BodyMemory memory) : IDisposable
    {
        private byte[] _buffer = [];
        private int _taken;

        public int Length { get; set; }

        public ReadOnlyMemory<byte> Content => _buffer.AsMemory(0, Length);

        public Memory<byte> Rest => _buffer.AsMemory(Length, _taken - Length);

        public void Grow(int size)
        {
            memory.Take(size - _taken);
            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(size, 1));
            Content.CopyTo(larger);
            if (_buffer.Length > 0)
                ArrayPool<byte>.Shared.Return(_buffer);
            (_buffer, _taken) = (larger, size);
        }

        public void Dispose()
        {
            if (_buffer.Length > 0)
                ArrayPool<byte>.Shared.Return(_buffer);
            Interlocked.Add(ref memory._taken, -_taken);
            (_buffer, _taken, Length) = ([], 0, 0);
        }
    }
}
