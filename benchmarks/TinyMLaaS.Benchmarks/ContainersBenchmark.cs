using System.Globalization;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Benchmarks;

/// <summary>The stack of docker-compose.yml: how soon it is healthy, and what it takes of a core when nobody wants anything of it, as the mean of the second minute.</summary>
internal static class ContainersBenchmark
{
    private const double LimitHealthySeconds = 60;
    private const double LimitService = 0.01;
    private const double LimitStack = 0.10;
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    // What are not ours: their limit is the stack's.
    private static readonly string[] Servers = ["postgres", "rabbitmq"];

    public static async Task<JsonObject> RunAsync(Action<string> say, CancellationToken cancellation)
    {
        await using var project = await ComposeProject.StartAsync(Repository.Root());
        say(string.Create(CultureInfo.InvariantCulture, $"images built in {project.Built.TotalSeconds:F0} s, all healthy {project.Healthy.TotalSeconds:F1} s after docker-compose up (limit {LimitHealthySeconds})"));
        say(project.Sizes);
        var containers = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var service in ComposeProject.Lasting)
            containers[service] = (string)(await project.InspectAsync(service))["Id"]!;
        await Task.Delay(Minute, cancellation);
        var (before, daemonBefore) = (await UsedAsync(project, containers, cancellation), DaemonSeconds(project));
        await Task.Delay(Minute, cancellation);
        var (after, daemonAfter) = (await UsedAsync(project, containers, cancellation), DaemonSeconds(project));
        var services = new JsonObject();
        say("idle, share of a core    measured   limit");
        foreach (var service in ComposeProject.Lasting)
        {
            var share = (after[service] - before[service]) / Minute.TotalSeconds;
            services[service] = Math.Round(share, 5);
            say(string.Create(CultureInfo.InvariantCulture, $"  {service,-22} {share,8:P2}   {(Servers.Contains(service) ? "" : LimitService.ToString("P0", CultureInfo.InvariantCulture))}"));
        }
        var daemon = (daemonAfter - daemonBefore) / Minute.TotalSeconds;
        var stack = services.Sum(s => s.Value!.GetValue<double>()) + daemon;
        say(string.Create(CultureInfo.InvariantCulture, $"  {"Docker (checks, logs)",-22} {daemon,8:P2}"));
        say(string.Create(CultureInfo.InvariantCulture, $"  {"all together",-22} {stack,8:P2}   {LimitStack:P0}"));
        return new JsonObject
        {
            ["buildSeconds"] = Math.Round(project.Built.TotalSeconds, 1),
            ["healthySeconds"] = Math.Round(project.Healthy.TotalSeconds, 1),
            ["healthySecondsLimit"] = LimitHealthySeconds,
            ["idle"] = services,
            ["idleDaemon"] = Math.Round(daemon, 5),
            ["idleStack"] = Math.Round(stack, 5),
            ["idleServiceLimit"] = LimitService,
            ["idleStackLimit"] = LimitStack,
            ["withinLimits"] = project.Healthy.TotalSeconds < LimitHealthySeconds && stack < LimitStack
                && services.Where(s => !Servers.Contains(s.Key)).All(s => s.Value!.GetValue<double>() < LimitService),
        };
    }

    /// <summary>Processor time of each container so far, in seconds: what its own processes and those of its health check took.</summary>
    private static async Task<Dictionary<string, double>> UsedAsync(ComposeProject project, Dictionary<string, string> containers, CancellationToken cancellation)
    {
        var address = new Uri(project.Daemon.Address);
        using var http = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, stop) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(address.AbsolutePath), stop);
                return new NetworkStream(socket, ownsSocket: true);
            },
        })
        {
            BaseAddress = new Uri("http://docker/"),
        };
        var used = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (var (service, id) in containers)
        {
            var statistics = JsonNode.Parse(await http.GetStringAsync($"containers/{id}/stats?stream=false&one-shot=true", cancellation))!;
            used[service] = statistics["cpu_stats"]!["cpu_usage"]!["total_usage"]!.GetValue<double>() / 1e9;
        }
        return used;
    }

    /// <summary>Processor time of the daemon of our own, of containerd and of what they started and has ended, in seconds; nothing of a daemon that others use as well.</summary>
    private static double DaemonSeconds(ComposeProject project)
    {
        if (project.Daemon.Pid is not { } daemon)
            return 0;
        const double TicksPerSecond = 100;
        var processes = new Dictionary<int, (int Parent, string Name, double Ticks)>();
        foreach (var folder in Directory.GetDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), out var pid))
                continue;
            try
            {
                var text = File.ReadAllText(Path.Combine(folder, "stat"));
                var fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
                processes[pid] = (int.Parse(fields[1], CultureInfo.InvariantCulture), text[(text.IndexOf('(') + 1)..text.LastIndexOf(')')], fields[11..15].Sum(f => double.Parse(f, CultureInfo.InvariantCulture)));
            }
            catch (IOException)
            {
                // It has ended meanwhile.
            }
        }
        // Shims are nobody's children; each counts the runc that it called.
        bool IsOfDaemon(int pid) => pid == daemon || (processes.TryGetValue(pid, out var p) && p.Parent > 1 && IsOfDaemon(p.Parent) && p.Name is "containerd" or "docker-proxy");
        return processes.Where(p => IsOfDaemon(p.Key) || p.Value.Name.StartsWith("containerd-shim", StringComparison.Ordinal)).Sum(p => p.Value.Ticks) / TicksPerSecond;
    }
}
