using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;

namespace TinyMLaaS.Servers.Testing;

/// <summary>
/// docker-compose.yml as it is, on images that were built without a registry, under a project, secrets and a port of its own. When it is taken down, nothing of it may be left.
/// </summary>
internal sealed class ComposeProject : IAsyncDisposable
{
    private const string Tag = "test";
    private static readonly TimeSpan BuildLimit = TimeSpan.FromMinutes(15);
    private static readonly TimeSpan HealthLimit = TimeSpan.FromMinutes(5);

    private readonly string _root;
    private readonly string _project = $"tinymlaas-{Guid.NewGuid():N}"[..18];
    private readonly string _secrets = Directory.CreateTempSubdirectory("tinymlaas-secrets-").FullName;
    private readonly Dictionary<string, string> _environment;

    private ComposeProject(string root, DockerDaemon daemon)
    {
        _root = root;
        Daemon = daemon;
        var address = string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{ServerProcess.FreePort()}");
        Url = $"http://{address}";
        _environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["DOCKER_HOST"] = daemon.Address,
            ["COMPOSE_PROJECT_NAME"] = _project,
            ["TINYMLAAS_TAG"] = Tag,
            ["TINYMLAAS_SECRETS"] = _secrets,
            ["TINYMLAAS_ADDRESS"] = address,
        };
    }

    /// <summary>The services that go on, in the order in which they need each other.</summary>
    public static IReadOnlyList<string> Lasting { get; } = ["postgres", "rabbitmq", "artifact-store", "orchestrator", "pipeline-api", "compiler", "installer"];

    public DockerDaemon Daemon { get; }

    /// <summary>Of the published port.</summary>
    public string Url { get; }

    /// <summary>The installation's first key.</summary>
    public string Key => File.ReadAllText(Path.Combine(_secrets, "api-key")).Trim();

    /// <summary>What the build says of the images' sizes.</summary>
    public string Sizes { get; private set; } = "";

    /// <summary>How long the images took.</summary>
    public TimeSpan Built { get; private set; }

    /// <summary>From <c>docker-compose up</c> until every container was healthy.</summary>
    public TimeSpan Healthy { get; private set; }

    /// <param name="root">The folder of docker-compose.yml.</param>
    public static async Task<ComposeProject> StartAsync(string root)
    {
        var project = new ComposeProject(root, await DockerDaemon.StartAsync());
        try
        {
            var began = Stopwatch.GetTimestamp();
            var built = await ServerProcess.RunAsync(Path.Combine(root, "infra/images/build"), ["--tag", Tag], project._environment, patience: BuildLimit);
            project.Sizes = built[built.IndexOf("image ", StringComparison.Ordinal)..];
            project.Built = Stopwatch.GetElapsedTime(began);
            await ServerProcess.RunAsync(Path.Combine(root, "infra/secrets/create"), [project._secrets]);
            began = Stopwatch.GetTimestamp();
            await project.ComposeAsync("up", "--detach");
            await project.HealthyAsync();
            project.Healthy = Stopwatch.GetElapsedTime(began);
            return project;
        }
        catch
        {
            await project.DisposeAsync();
            throw;
        }
    }

    public Task<string> ComposeAsync(params string[] arguments) =>
        ServerProcess.RunAsync("docker-compose", ["--file", Path.Combine(_root, "docker-compose.yml"), .. arguments], _environment, patience: TimeSpan.FromMinutes(5));

    public Task<string> DockerAsync(params string[] arguments) => ServerProcess.RunAsync("docker", arguments, _environment);

    /// <summary>What Docker knows of a service's container.</summary>
    public async Task<JsonNode> InspectAsync(string service) => JsonNode.Parse(await DockerAsync("inspect", (await ComposeAsync("ps", "--quiet", service)).Trim()))![0]!;

    /// <summary>Waits until every container is healthy.</summary>
    public async Task HealthyAsync()
    {
        using var limit = new CancellationTokenSource(HealthLimit);
        while (true)
        {
            var states = await Task.WhenAll(Lasting.Select(async service => (string?)(await InspectAsync(service))["State"]!["Health"]!["Status"]));
            if (states.All(s => s == "healthy"))
                return;
            if (limit.IsCancellationRequested)
                throw new InvalidOperationException($"Not all are healthy after {HealthLimit}: {await DockerAsync("ps", "--all", "--format", "{{.Names}} {{.Status}}")}{await LogsAsync()}");
            await Task.Delay(500);
        }
    }

    /// <summary>The newest lines of every container.</summary>
    public Task<string> LogsAsync() => ComposeAsync("logs", "--no-color", "--tail", "40");

    /// <summary>What nobody but who is meant may know, without the names before it.</summary>
    public IEnumerable<string> Secrets() => Directory.GetFiles(_secrets).Where(f => !f.EndsWith(".json", StringComparison.Ordinal))
        .Select(f => File.ReadAllText(f).Trim()).Select(text => text == Key ? Key[13..] : text.Split(':')[^1]);

    /// <exception cref="InvalidOperationException">Something of it is left.</exception>
    public async ValueTask DisposeAsync()
    {
        var left = new List<string>();
        await ComposeAsync("down", "--volumes", "--timeout", "60");
        foreach (var kind in (string[])["container", "network", "volume"])
        {
            var found = await DockerAsync(kind, "ls", "--quiet", "--filter", $"label=com.docker.compose.project={_project}");
            if (found.Length > 0)
                left.Add($"{kind} {found}");
        }
        await Daemon.DisposeAsync();
        Directory.Delete(_secrets, recursive: true);
        if (left.Count > 0)
            throw new InvalidOperationException($"docker-compose down left {string.Join(", ", left)}");
    }
}
