using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace TinyMLaaS.Benchmarks.Artifacts;

/// <summary>What the machine does of each thing that a transfer is made of, in megabytes (1e6) a second.</summary>
/// <param name="Hash">SHA-256 of one core.</param>
/// <param name="Write">One file from its begin to its end.</param>
/// <param name="DurableWrite">The same with fsync at the end.</param>
/// <param name="Read">One file that was just written, so mostly from memory.</param>
/// <param name="Loopback">One connection.</param>
internal sealed record RawLimits(double Hash, double Write, double DurableWrite, double Read, double Loopback)
{
    private const int BlockBytes = 1 << 20;

    public static async Task<RawLimits> MeasureAsync(string folder, int mib, CancellationToken cancellation)
    {
        var block = new byte[BlockBytes];
        new Random(1).NextBytes(block);
        var bytes = (double)mib * BlockBytes;
        static double Rate(double bytes, Action work)
        {
            var start = Stopwatch.GetTimestamp();
            work();
            return bytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e6;
        }
        var hash = Rate(bytes, () =>
        {
            using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            for (var i = 0; i < mib; i++)
                sha.AppendData(block);
            sha.GetHashAndReset();
        });
        var path = Path.Combine(folder, "raw-limit");
        double Write(bool durable)
        {
            var rate = Rate(bytes, () =>
            {
                using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
                for (var i = 0; i < mib; i++)
                    file.Write(block);
                if (durable)
                    file.Flush(flushToDisk: true);
            });
            return rate;
        }
        // What another left to be written is not this one's.
        Write(durable: true);
        var write = Write(durable: false);
        Write(durable: true);
        var durableWrite = Write(durable: true);
        var read = Rate(bytes, () =>
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            while (file.Read(block) > 0)
            {
            }
        });
        File.Delete(path);
        return new RawLimits(hash, write, durableWrite, read, await LoopbackAsync(block, mib, cancellation));
    }

    private static async Task<double> LoopbackAsync(byte[] block, int mib, CancellationToken cancellation)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var sender = new TcpClient();
        await sender.ConnectAsync((IPEndPoint)listener.LocalEndpoint, cancellation);
        using var receiver = await listener.AcceptTcpClientAsync(cancellation);
        var start = Stopwatch.GetTimestamp();
        var sending = Task.Run(() =>
        {
            for (var i = 0; i < mib; i++)
                sender.Client.Send(block);
            sender.Client.Shutdown(SocketShutdown.Send);
        }, cancellation);
        var buffer = new byte[BlockBytes];
        while (receiver.Client.Receive(buffer) > 0)
        {
        }
        await sending;
        return (double)mib * BlockBytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e6;
    }
}
