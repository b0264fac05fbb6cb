using System.Net;
using System.Net.Sockets;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>A connection to a server that does not hold: each one ends, both ways at once, after so many bytes of the client.</summary>
internal sealed class CuttingRelay : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Uri _server;
    private readonly Func<int> _bytes;
    private readonly Task _accepting;
    private int _cut;

    /// <param name="server">Where it leads.</param>
    /// <param name="bytes">How many bytes of the client the next connection carries.</param>
    public CuttingRelay(Uri server, Func<int> bytes)
    {
        (_server, _bytes) = (server, bytes);
        _listener.Start();
        Address = new Uri($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}/");
        _accepting = AcceptAsync();
    }

    /// <summary>What the client connects to.</summary>
    public Uri Address { get; }

    /// <summary>Connections that were ended.</summary>
    public int Cut => _cut;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        var open = new List<Task>();
        try
        {
            while (true)
                open.Add(RelayAsync(await _listener.AcceptTcpClientAsync(_stop.Token), _bytes()));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(open);
        }
    }

    private async Task RelayAsync(TcpClient client, int bytes)
    {
        using (client)
        using (var server = new TcpClient())
        using (var both = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token))
        {
            try
            {
                await server.ConnectAsync(_server.Host, _server.Port, both.Token);
                // When the server ends it, it ends for the client too.
                var back = server.GetStream().CopyToAsync(client.GetStream(), both.Token).ContinueWith(_ => both.CancelAsync(), TaskScheduler.Default).Unwrap();
                var buffer = new byte[1 << 16];
                while (bytes > 0 && await client.GetStream().ReadAsync(buffer.AsMemory(0, Math.Min(buffer.Length, bytes)), both.Token) is var read and > 0)
                {
                    await server.GetStream().WriteAsync(buffer.AsMemory(0, read), both.Token);
                    bytes -= read;
                }
                if (bytes == 0)
                    Interlocked.Increment(ref _cut);
                await both.CancelAsync();
                await back;
            }
            catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // That connection is over.
            }
        }
    }
}
