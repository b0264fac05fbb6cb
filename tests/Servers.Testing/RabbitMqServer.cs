using System.Globalization;
using RabbitMQ.Client;

namespace TinyMLaaS.Servers.Testing;

/// <summary>
/// RabbitMQ of Debian's package: a node, a port mapper, a cookie and data of its own, everything on loopback. Its files survive <see cref="KillAsync"/>
/// unless they are deleted on purpose.
/// </summary>
internal sealed class RabbitMqServer : IAsyncDisposable
{
    private const string Programs = "/usr/lib/rabbitmq/bin";
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(3);

    private readonly string _folder;
    private readonly Dictionary<string, string> _environment;
    private readonly int _mapperPort;
    private ServerProcess? _mapper;
    private ServerProcess? _process;

    private RabbitMqServer(string folder, int port, int distributionPort, int mapperPort)
    {
        _folder = folder;
        _mapperPort = mapperPort;
        Port = port;
        const string OnLoopback = "-kernel inet_dist_use_interface {127,0,0,1}";
        _environment = new Dictionary<string, string>
        {
            ["HOME"] = folder,
            ["LANG"] = "C.UTF-8",
            ["RABBITMQ_NODENAME"] = $"tinyml-{port}@localhost",
            ["RABBITMQ_NODE_IP_ADDRESS"] = "127.0.0.1",
            ["RABBITMQ_NODE_PORT"] = port.ToString(CultureInfo.InvariantCulture),
            ["RABBITMQ_DIST_PORT"] = distributionPort.ToString(CultureInfo.InvariantCulture),
            ["RABBITMQ_MNESIA_BASE"] = Path.Combine(folder, "data"),
            ["RABBITMQ_LOG_BASE"] = Path.Combine(folder, "log"),
            ["RABBITMQ_LOGS"] = Path.Combine(folder, "log", "node.log"),
            ["RABBITMQ_PID_FILE"] = Path.Combine(folder, "pid"),
            ["RABBITMQ_ENABLED_PLUGINS_FILE"] = Path.Combine(folder, "enabled_plugins"),
            ["RABBITMQ_CONFIG_FILE"] = Path.Combine(folder, "rabbitmq"),
            ["RABBITMQ_CONF_ENV_FILE"] = "/dev/null",
            ["RABBITMQ_GENERATED_CONFIG_DIR"] = Path.Combine(folder, "generated"),
            // With this the script becomes the node instead of watching over it, so that a signal meets the node.
            ["RABBITMQ_ALLOW_INPUT"] = "true",
            ["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = $"{OnLoopback} -start_epmd false -noinput",
            ["RABBITMQ_CTL_ERL_ARGS"] = $"{OnLoopback} -start_epmd false",
            ["ERL_EPMD_PORT"] = mapperPort.ToString(CultureInfo.InvariantCulture),
            ["ERL_EPMD_ADDRESS"] = "127.0.0.1",
        };
    }

    public int Port { get; }

    public int Pid => _process!.Pid;

    public string Address(string virtualHost) => $"amqp://guest:guest@127.0.0.1:{Port}/{virtualHost}";

    private string Data => Path.Combine(_folder, "data");

    /// <param name="configuration">Lines of <c>rabbitmq.conf</c>.</param>
    public static Task<RabbitMqServer> StartAsync(params string[] configuration) => StartAsync([], configuration);

    /// <param name="plugins">Names of plugins, e.g. <c>rabbitmq_prometheus</c>.</param>
    /// <param name="configuration">Lines of <c>rabbitmq.conf</c>.</param>
    public static async Task<RabbitMqServer> StartAsync(IReadOnlyList<string> plugins, IReadOnlyList<string> configuration)
    {
        if (!File.Exists(Path.Combine(Programs, "rabbitmq-server")))
            throw new InvalidOperationException($"RabbitMQ is missing. Install it: {ServerPackages.Installation}");
        var server = new RabbitMqServer(
            Directory.CreateTempSubdirectory("tinymlaas-mq-").FullName, ServerProcess.FreePort(), ServerProcess.FreePort(), ServerProcess.FreePort());
        foreach (var folder in (string[])["data", "log", "generated"])
            Directory.CreateDirectory(Path.Combine(server._folder, folder));
        await File.WriteAllTextAsync(Path.Combine(server._folder, "enabled_plugins"), $"[{string.Join(',', plugins)}].\n");
        await File.WriteAllLinesAsync(Path.Combine(server._folder, "rabbitmq.conf"), ["disk_free_limit.absolute = 50MB", .. configuration]);
        var mapper = server._environment["ERL_EPMD_PORT"];
        server._mapper = await ServerProcess.StartAsync("/usr/bin/epmd", ["-address", "127.0.0.1", "-port", mapper], server._environment);
        await server._mapper.ListensAsync(server._mapperPort, StartLimit);
        await server.StartAgainAsync();
        return server;
    }

    /// <summary>Starts the node on what is in its folder.</summary>
    public async Task StartAgainAsync()
    {
        _process = await ServerProcess.StartAsync(Path.Combine(Programs, "rabbitmq-server"), [], _environment);
        await _process.ListensAsync(Port, StartLimit);
        using var limit = new CancellationTokenSource(StartLimit);
        while (!await AnswersAsync(limit.Token))
            await Task.Delay(100, limit.Token);
    }

    /// <summary>Ends the node as a crash does.</summary>
    public async Task KillAsync()
    {
        await _process!.SignalAsync("KILL");
        await _process.EndedAsync();
    }

    /// <summary>Removes all that the node kept: users, virtual hosts, queues, messages. It must not run.</summary>
    public void DeleteData() => Directory.Delete(Data, recursive: true);

    /// <summary>Runs <c>rabbitmqctl</c> on the node; its output.</summary>
    public Task<string> ControlAsync(params string[] arguments) =>
        ServerProcess.RunAsync(Path.Combine(Programs, "rabbitmqctl"), ["--quiet", .. arguments], _environment);

    public async Task AddVirtualHostAsync(string name)
    {
        await ControlAsync("add_vhost", name);
        await ControlAsync("set_permissions", "-p", name, "guest", ".*", ".*", ".*");
    }

    public async Task<string> VersionAsync() => await VersionAsync(Address("%2F"));

    public static async Task<string> VersionAsync(string address)
    {
        await using var connection = await new ConnectionFactory { Uri = new Uri(address) }.CreateConnectionAsync();
        return System.Text.Encoding.UTF8.GetString((byte[])connection.ServerProperties!["version"]!);
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
            await _process.DisposeAsync();
        if (_mapper is not null)
            await _mapper.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task<bool> AnswersAsync(CancellationToken cancellation)
    {
        try
        {
            await using var connection = await new ConnectionFactory { Uri = new Uri(Address("%2F")), RequestedConnectionTimeout = TimeSpan.FromSeconds(5) }.CreateConnectionAsync(cancellation);
            return true;
        }
        catch (Exception e) when (e is RabbitMQ.Client.Exceptions.BrokerUnreachableException or IOException)
        {
            return false;
        }
    }
}
