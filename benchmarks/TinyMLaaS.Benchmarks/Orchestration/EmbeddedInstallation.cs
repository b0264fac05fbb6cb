using System.Diagnostics;
using System.Globalization;
using TinyMLaaS.Standalone;
using TinyMLaaS.TestWorker.NoOp;

namespace TinyMLaaS.Benchmarks.Orchestration;

/// <summary>Standalone: all services in one process, which is another one than the client's, with the in-memory transport, SQLite and files.</summary>
internal sealed class EmbeddedInstallation : Installation
{
    /// <summary>The argument with which this program is that process; the home follows.</summary>
    public const string Argument = "orchestration-embedded";

    private readonly Process _process;
    private readonly string _home;

    private EmbeddedInstallation(Process process, string home, Uri url)
    {
        _process = process;
        _home = home;
        Url = url;
    }

    public override Uri Url { get; }

    public override IReadOnlyDictionary<string, int[]> Processes => new Dictionary<string, int[]> { ["standalone"] = [_process.Id], ["client"] = [Environment.ProcessId] };

    /// <param name="folder">A folder for the home.</param>
    /// <param name="slots">Attempts at once.</param>
    public static async Task<EmbeddedInstallation> StartAsync(string folder, int slots)
    {
        var home = Path.Combine(folder, "home");
        var start = new ProcessStartInfo("dotnet", [typeof(EmbeddedInstallation).Assembly.Location, Argument, home]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment["Worker__Slots"] = slots.ToString(CultureInfo.InvariantCulture);
        start.Environment["Orchestrator__LeaseSeconds"] = LeaseSeconds.ToString(CultureInfo.InvariantCulture);
        var process = Process.Start(start)!;
        var url = await process.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException($"Standalone ended before it listened; its log is in '{home}'.");
        return new EmbeddedInstallation(process, home, new Uri(url));
    }

    /// <summary>What the process does: serves until its standard input ends.</summary>
    public static async Task<int> ServeAsync(string home)
    {
        await using var server = await StandaloneServer.StartAsync(new StandaloneOptions { Home = home, Further = [new NoOpModule()] }, CancellationToken.None);
        Console.WriteLine(server.Url);
        await Console.In.ReadToEndAsync();
        return 0;
    }

    public override async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close();
        await _process.WaitForExitAsync();
        _process.Dispose();
        Directory.Delete(_home, recursive: true);
    }
}
