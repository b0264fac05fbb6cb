using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace TinyMLaaS.Servers.Testing;

/// <summary>
/// A server that a test started. A shell between holds a pipe to the test process and ends the server when the pipe breaks, so that a test process that is
/// killed leaves no server behind.
/// </summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private const string Guard = """
        "$@" < /dev/null &
        child=$!
        echo "$child"
        cat > /dev/null
        kill -KILL "$child" 2> /dev/null
        wait "$child"
        """;

    private const int FirstPort = 12_000;
    private const int Ports = 20_000;

    // Processes that run at once begin at places of their own.
    private static int _port = Environment.ProcessId * 97;

    private static readonly TimeSpan EndLimit = TimeSpan.FromSeconds(30);

    private readonly Process _guard;
    private readonly StringBuilder _output;

    private ServerProcess(Process guard, StringBuilder output, int pid)
    {
        _guard = guard;
        _output = output;
        Pid = pid;
    }

    /// <summary>The server's own process.</summary>
    public int Pid { get; }

    /// <summary>What it wrote, for messages.</summary>
    public string Output
    {
        get
        {
            lock (_output)
                return _output.ToString();
        }
    }

    public bool IsRunning
    {
        get
        {
            try
            {
                return !File.ReadAllText($"/proc/{Pid}/stat").Contains(") Z ", StringComparison.Ordinal);
            }
            catch (IOException)
            {
                // Its file is gone before it is opened, or while it is read.
                return false;
            }
        }
    }

    public static async Task<ServerProcess> StartAsync(string file, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo("/bin/bash") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["-c", Guard, "guard", file, .. arguments])
            start.ArgumentList.Add(argument);
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        var guard = Process.Start(start)!;
        var first = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var output = new StringBuilder();
        void Keep(string? line)
        {
            if (first.TrySetResult(line))
                return;
            lock (output)
                output.AppendLine(line);
        }
        guard.OutputDataReceived += (_, line) => Keep(line.Data);
        guard.BeginOutputReadLine();
        var pid = int.Parse((await first.Task)!, CultureInfo.InvariantCulture);
        guard.ErrorDataReceived += (_, line) => Keep(line.Data);
        guard.BeginErrorReadLine();
        return new ServerProcess(guard, output, pid);
    }

    /// <summary>Runs a command to its end; its output.</summary>
    public static async Task<string> RunAsync(
        string file, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null, bool mayFail = false, TimeSpan? patience = null)
    {
        var start = new ProcessStartInfo(file) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        using var process = Process.Start(start)!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        using var limit = new CancellationTokenSource(patience ?? TimeSpan.FromMinutes(2));
        await process.WaitForExitAsync(limit.Token);
        return process.ExitCode == 0 || mayFail
            ? await output
            : throw new InvalidOperationException($"{file} {string.Join(' ', start.ArgumentList)} ended with {process.ExitCode}: {await output}{await errors}");
    }

    /// <summary>Sends a signal to the server, by name, e.g. <c>KILL</c>.</summary>
    public Task SignalAsync(string name) => RunAsync("/bin/kill", [$"-{name}", Pid.ToString(CultureInfo.InvariantCulture)]);

    /// <summary>Waits until the server has ended.</summary>
    public async Task EndedAsync()
    {
        using var limit = new CancellationTokenSource(EndLimit);
        while (IsRunning)
            await Task.Delay(20, limit.Token);
        // Lets the shell between end as well.
        _guard.StandardInput.Close();
        await EndAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (!_guard.HasExited)
            _guard.StandardInput.Close();
        await EndAsync();
        _guard.Dispose();
    }

    // Not WaitForExitAsync, which also waits for whoever inherited the output.
    private async Task EndAsync()
    {
        using var limit = new CancellationTokenSource(EndLimit);
        while (!_guard.HasExited)
            await Task.Delay(20, limit.Token);
    }

    /// <summary>
    /// A TCP port of loopback that nobody uses. Not one of those that the system gives to connections: while a server that listens there is down, a connection of
    /// anybody could take it, and the server could not come back.
    /// </summary>
    public static int FreePort()
    {
        while (true)
        {
            var port = FirstPort + (Interlocked.Increment(ref _port) & int.MaxValue) % Ports;
            using var listener = new TcpListener(IPAddress.Loopback, port);
            try
            {
                listener.Start();
                return port;
            }
            catch (SocketException)
            {
                // Somebody has it; the next, then.
            }
        }
    }

    /// <summary>Waits until somebody listens on a port of loopback, or the server has ended.</summary>
    public async Task ListensAsync(int port, TimeSpan patience)
    {
        using var limit = new CancellationTokenSource(patience);
        while (true)
        {
            if (!IsRunning)
                throw new InvalidOperationException($"The server ended before it listened on port {port}: {Output}");
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync(IPAddress.Loopback, port, limit.Token);
                return;
            }
            catch (SocketException)
            {
                await Task.Delay(50, limit.Token);
            }
            catch (OperationCanceledException)
            {
                throw new InvalidOperationException($"Nobody listens on port {port} after {patience.TotalSeconds} s: {Output}");
            }
        }
    }
}
