using System.Buffers;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>
/// Bytes on their way to disk, hashed once as they come: while one block is hashed and written the next is received. What was received before a source
/// broke off is in the file, so that more can follow. One writer at a time.
/// </summary>
internal sealed class IncomingFile : IDisposable
{
    private const int BlockBytes = 1 << 20;
    private const int WriteBackBytes = 16 << 20;

    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private long _hashed;

    private IncomingFile(string path, long length)
    {
        Path = path;
        Length = length;
    }

    /// <summary>Where the bytes are.</summary>
    public string Path { get; }

    /// <summary>How many there are.</summary>
    public long Length { get; private set; }

    /// <summary>A new file.</summary>
    public static IncomingFile Create(string path)
    {
        File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write).Dispose();
        return new IncomingFile(path, 0);
    }

    /// <summary>What an earlier process has left; it is hashed when that is needed.</summary>
    public static IncomingFile Continue(string path) => new(path, new FileInfo(path).Length);

    /// <summary>Receives a source to its end, but at most <paramref name="most"/> bytes of it.</summary>
    /// <param name="content">Read once.</param>
    /// <param name="most">Where to stop; a byte more is not asked for.</param>
    /// <param name="admit">Asked before bytes are kept; false ends it there.</param>
    /// <param name="cancellation">What was received before it fires is kept.</param>
    public async Task AppendAsync(Stream content, long most, Func<int, bool>? admit, CancellationToken cancellation)
    {
        using var file = File.OpenHandle(Path, FileMode.Open, FileAccess.ReadWrite, FileShare.Read);
        // A write that failed may have left more than is known to be there.
        if (RandomAccess.GetLength(file) != Length)
            RandomAccess.SetLength(file, Length);
        var (filling, other) = (ArrayPool<byte>.Shared.Rent(BlockBytes), ArrayPool<byte>.Shared.Rent(BlockBytes));
        var keeping = Task.CompletedTask;
        try
        {
            for (var end = false; !end && most > 0;)
            {
                var wanted = (int)Math.Min(BlockBytes, most);
                var filled = 0;
                try
                {
                    while (filled < wanted && !end)
                    {
                        var read = await content.ReadAsync(filling.AsMemory(filled, wanted - filled), cancellation);
                        filled += read;
                        end = read == 0;
                    }
                }
                finally
                {
                    await keeping;
                    if (filled > 0 && (admit is null || admit(filled)))
                    {
                        var (block, count) = (filling, filled);
                        keeping = Task.Run(() => Keep(file, block.AsSpan(0, count)), CancellationToken.None);
                    }
                    else
                    {
                        end = true;
                    }
                }
                most -= filled;
                (filling, other) = (other, filling);
            }
        }
        finally
        {
            try
            {
                await keeping;
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(filling);
                ArrayPool<byte>.Shared.Return(other);
            }
        }
    }

    /// <summary>Makes the bytes durable and gives their digest. Nothing can follow.</summary>
    public async Task<Digest> FinishAsync(CancellationToken cancellation)
    {
        using var file = File.OpenHandle(Path, FileMode.Open, FileAccess.ReadWrite, FileShare.Read);
        if (RandomAccess.GetLength(file) != Length)
            RandomAccess.SetLength(file, Length);
        await CatchUpAsync(file, cancellation);
        await Task.Run(() => RandomAccess.FlushToDisk(file), CancellationToken.None);
        return Digest.FromHash(_hash.GetHashAndReset());
    }

    /// <inheritdoc/>
    public void Dispose() => _hash.Dispose();

    private void Keep(SafeFileHandle file, ReadOnlySpan<byte> block)
    {
        RandomAccess.Write(file, block, Length);
        // What an earlier process left is hashed at the end, with all that follows it.
        if (_hashed == Length)
        {
            _hash.AppendData(block);
            _hashed += block.Length;
        }
        Length += block.Length;
        // The disk begins with it now, so that little is left for the end.
        if (Length / WriteBackBytes != (Length - block.Length) / WriteBackBytes)
            Durability.BeginWriting(file, Math.Max(0, Length - WriteBackBytes - block.Length), WriteBackBytes + block.Length);
    }

    private async Task CatchUpAsync(SafeFileHandle file, CancellationToken cancellation)
    {
        if (_hashed == Length)
            return;
        var block = ArrayPool<byte>.Shared.Rent(BlockBytes);
        try
        {
            while (_hashed < Length)
            {
                var read = await RandomAccess.ReadAsync(file, block.AsMemory(0, (int)Math.Min(BlockBytes, Length - _hashed)), _hashed, cancellation);
                if (read == 0)
                    throw new IOException($"'{Path}' ends after {_hashed} of {Length} bytes.");
                _hash.AppendData(block.AsSpan(0, read));
                _hashed += read;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(block);
        }
    }
}
