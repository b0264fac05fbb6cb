using System.Net;
using System.Net.Sockets;

namespace TinyMLaaS.Servers.Testing;

/// <summary>
/// A network between a client and a server on loopback, which can stand still: connections stay, and nothing gets through in either direction until it goes on. With several
/// servers it shares connections out, and leaves out who does not listen.
/// </summary>
internal sealed class TcpRelay : IAsyncDisposable
{
    private readonly int[] _targets;
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _end = new();
    private readonly Task _accepting;
    private volatile TaskCompletionSource _open = new();
    private int _connections;

    /// <param name="targets">The servers' ports.</param>
    public TcpRelay(params int[] targets)
    {
        _targets = targets;
        _open.SetResult();
        _listener.Start();
        Port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        _accepting = AcceptAsync();
    }

    public int Port { get; }

    public void Freeze() => _open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Thaw() => _open.TrySetResult();

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Dispose();
        await _accepting;
        _end.Dispose();
    }

    private async Task AcceptAsync()
    {
        var relays = new List<Task>();
        try
        {
            while (true)
                relays.Add(RelayAsync(await _listener.AcceptTcpClientAsync(_end.Token)));
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(relays);
        }
    }

    private async Task RelayAsync(TcpClient client)
    {
        using (client)
        {
            try
            {
                using var server = await ConnectAsync(Interlocked.Increment(ref _connections) & int.MaxValue);
                // Where one side ends the other has nobody to talk to.
                await Task.WhenAny(CopyAsync(client.GetStream(), server.GetStream()), CopyAsync(server.GetStream(), client.GetStream()));
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // The server is not there, or the relay ends: the client's connection ends with it.
            }
        }
    }

    private async Task<TcpClient> ConnectAsync(int first)
    {
        for (var tried = 1; ; tried++)
        {
            var server = new TcpClient();
            try
            {
                await server.ConnectAsync(IPAddress.Loopback, _targets[(first + tried) % _targets.Length], _end.Token);
                return server;
            }
            catch (SocketException) when (tried < _targets.Length)
            {
                server.Dispose();
            }
            catch
            {
                server.Dispose();
                throw;
            }
        }
    }

    private async Task CopyAsync(NetworkStream from, NetworkStream to)
    {
        var buffer = new byte[16 * 1024];
        try
        {
            int read;
            while ((read = await from.ReadAsync(buffer, _end.Token)) > 0)
            {
                await _open.Task.WaitAsync(_end.Token);
                await to.WriteAsync(buffer.AsMemory(0, read), _end.Token);
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or OperationCanceledException)
        {
            // One side is gone.
        }
    }
}
