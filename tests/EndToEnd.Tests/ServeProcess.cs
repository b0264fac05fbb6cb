using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary><c>tinyml serve</c> as a child process.</summary>
internal sealed class ServeProcess : IAsyncDisposable
{
    private readonly Process _process;

    private ServeProcess(Process process, string url)
    {
        _process = process;
        Url = url;
    }

    public string Url { get; }

    public int Id => _process.Id;

    /// <summary>Starts it and waits until it says where it listens.</summary>
    public static Task<ServeProcess> StartAsync(string home, int port, CancellationToken cancellation, params string[] more) =>
        StartAsync(home, port, new Dictionary<string, string>(), cancellation, more);

    /// <inheritdoc cref="StartAsync(string, int, CancellationToken, string[])"/>
    public static async Task<ServeProcess> StartAsync(string home, int port, IReadOnlyDictionary<string, string> environment, CancellationToken cancellation, params string[] more)
    {
        var process = TinymlCommand.Start(environment, ["serve", "--home", home, "--port", $"{port}", .. more]);
        // Never read by a test, but a full pipe would stop the server.
        _ = process.StandardError.ReadToEndAsync(CancellationToken.None);
        var line = await process.StandardOutput.ReadLineAsync(cancellation);
        var url = line?.Split(' ').FirstOrDefault(w => w.StartsWith("http://", StringComparison.Ordinal));
        if (url is null)
        {
            process.Kill();
            throw new InvalidOperationException($"serve said: {line}");
        }
        return new ServeProcess(process, url);
    }

    /// <summary>A port that was free a moment ago.</summary>
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>SIGKILL: nothing of it runs any more.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync(CancellationToken.None);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            await KillAsync();
        _process.Dispose();
    }
}
