using System.Net;

namespace TinyMLaaS.Benchmarks.Artifacts;

/// <summary>A body of random bytes that costs nothing to make: one block again and again, with its place written into it, and never the same body twice.</summary>
internal sealed class GeneratedContent : HttpContent
{
    private const int BlockBytes = 1 << 20;
    private static readonly byte[] Block = Random();

    private readonly int _blocks;

    public GeneratedContent(int mib) => _blocks = mib;

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
    {
        Guid.NewGuid().TryWriteBytes(Block);
        for (var block = 0; block < _blocks; block++)
        {
            BitConverter.TryWriteBytes(Block.AsSpan(16), block);
            await stream.WriteAsync(Block);
        }
    }

    protected override bool TryComputeLength(out long length)
    {
        length = (long)_blocks * BlockBytes;
        return true;
    }

    private static byte[] Random()
    {
        var block = new byte[BlockBytes];
        new Random(1).NextBytes(block);
        return block;
    }
}
