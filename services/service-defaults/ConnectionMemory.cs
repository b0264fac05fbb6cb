using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// Buffers of connections in blocks of 64 KiB. Kestrel's own have 4 KiB and are filled by a call to the system each, which took most of the processor time of a large upload. A connection that is idle
/// holds none; what is not in use is kept up to a limit.
/// </summary>
internal sealed class ConnectionMemory : IMemoryPoolFactory<byte>
{
    private const int BlockBytes = 64 * 1024;
    private const int MostKept = 256;

    /// <inheritdoc/>
    public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => new Pool();

    private sealed class Pool : MemoryPool<byte>
    {
        private readonly ConcurrentQueue<byte[]> _free = new();
        private volatile bool _disposed;

        public override int MaxBufferSize => BlockBytes;

        public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockBytes);
            // Pinned, as the system reads and writes it while the collector works.
            return new Block(this, _free.TryDequeue(out var array) ? array : GC.AllocateUninitializedArray<byte>(BlockBytes, pinned: true));
        }

        protected override void Dispose(bool disposing)
        {
            _disposed = true;
            _free.Clear();
        }

        private void Return(byte[] array)
        {
            if (!_disposed && _free.Count < MostKept)
                _free.Enqueue(array);
        }

        private sealed class Block(Pool pool, byte[] array) : IMemoryOwner<byte>
        {
            private byte[]? _array = array;

            public Memory<byte> Memory => _array ?? throw new ObjectDisposedException(nameof(Block));

            public void Dispose()
            {
                if (Interlocked.Exchange(ref _array, null) is { } mine)
                    pool.Return(mine);
            }
        }
    }
}
