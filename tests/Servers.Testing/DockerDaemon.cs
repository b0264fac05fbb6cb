using System.Globalization;

namespace TinyMLaaS.Servers.Testing;

/// <summary>The Docker daemon that answers, or one of Debian's package of our own, with its data in a folder that goes with it.</summary>
internal sealed class DockerDaemon : IAsyncDisposable
{
    private const string Usual = "unix:///var/run/docker.sock";
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly ServerProcess? _process;
    private readonly string? _folder;

    private DockerDaemon(string address, ServerProcess? process, string? folder)
    {
        Address = address;
        _process = process;
        _folder = folder;
    }

    /// <summary>What <c>DOCKER_HOST</c> is set to.</summary>
    public string Address { get; }

    /// <summary>Whose it is, for messages.</summary>
    public string Description => _process is null ? $"the daemon at {Address}" : string.Create(CultureInfo.InvariantCulture, $"a daemon of its own, process {_process.Pid}");

    /// <summary>The process of a daemon of our own.</summary>
    public int? Pid => _process?.Pid;

    public static async Task<DockerDaemon> StartAsync()
    {
        var address = Environment.GetEnvironmentVariable("DOCKER_HOST") is { Length: > 0 } named ? named : Usual;
        if (await AnswersAsync(address))
            return new DockerDaemon(address, null, null);
        // The path of a socket may have 107 characters.
        var folder = Directory.CreateTempSubdirectory("tinymlaas-docker-").FullName;
        var own = $"unix://{folder}/socket";
        var process = await ServerProcess.StartAsync(
            "dockerd", ["--data-root", $"{folder}/data", "--exec-root", $"{folder}/run", "--pidfile", $"{folder}/pid", "--host", own, "--log-level", "error"]);
        using var limit = new CancellationTokenSource(StartLimit);
        while (!await AnswersAsync(own))
        {
            if (!process.IsRunning || limit.IsCancellationRequested)
            {
                throw new InvalidOperationException(
                    $"No Docker daemon answers at {address}, and dockerd did not start: {process.Output} Start one, or as root: apt-get install --no-install-recommends docker.io docker-compose iptables");
            }
            await Task.Delay(200);
        }
        return new DockerDaemon(own, process, folder);
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is null)
            return;
        // It ends its containers and containerd.
        await _process.SignalAsync("TERM");
        await _process.EndedAsync();
        await _process.DisposeAsync();
        // Files of containers belong to their users.
        await ServerProcess.RunAsync("rm", ["-rf", _folder!], mayFail: true);
    }

    private static async Task<bool> AnswersAsync(string address)
    {
        try
        {
            await ServerProcess.RunAsync("docker", ["version"], new Dictionary<string, string> { ["DOCKER_HOST"] = address });
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }
}
