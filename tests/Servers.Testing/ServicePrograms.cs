using System.Collections.Concurrent;

namespace TinyMLaaS.Servers.Testing;

/// <summary>
/// The services of an installation, each a process of its own over a broker and a database, with everything on loopback and in one folder. The programs are those
/// beside the assembly that runs.
/// </summary>
internal sealed class ServicePrograms : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(3);

    private static readonly Dictionary<string, string> Assemblies = new(StringComparer.Ordinal)
    {
        ["orchestrator"] = "TinyMLaaS.Orchestrator.dll",
        ["pipeline-api"] = "TinyMLaaS.PipelineApi.dll",
        ["artifact-store"] = "TinyMLaaS.ArtifactStore.dll",
        ["compiler"] = "TinyMLaaS.Compiler.dll",
        ["installer"] = "TinyMLaaS.Installer.dll",
    };

    private readonly string _broker;
    private readonly string _database;
    // Several may be started at once.
    private readonly ConcurrentDictionary<string, int> _ports = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, ServerProcess> _processes = new(StringComparer.Ordinal);

    /// <param name="broker">Address of the broker.</param>
    /// <param name="database">Connection string of an empty database of PostgreSQL.</param>
    public ServicePrograms(string broker, string database)
    {
        _broker = broker;
        _database = database;
    }

    /// <summary>The services that every installation has, in the order in which they are started.</summary>
    public static IReadOnlyList<string> ControlPlane { get; } = ["orchestrator", "pipeline-api", "artifact-store"];

    /// <summary>Everything that the services keep in files.</summary>
    public string Folder { get; } = Directory.CreateTempSubdirectory("tinymlaas-stack-").FullName;

    /// <summary>A file with the password at the broker, which then is not taken from the address; null for none.</summary>
    public string? BrokerPasswordFile { get; init; }

    /// <summary>The folder of the artifact-store.</summary>
    public string Artifacts => Path.Combine(Folder, "artifacts");

    /// <summary>The processes that were started, by name.</summary>
    public IReadOnlyDictionary<string, ServerProcess> Processes => _processes;

    /// <summary>Where a service listens: <c>http://127.0.0.1:PORT</c>.</summary>
    public string Address(string service) => $"http://127.0.0.1:{_ports.GetOrAdd(service, _ => ServerProcess.FreePort())}";

    /// <summary>Brings database and queues to the version of the programs.</summary>
    public async Task MigrateAsync()
    {
        foreach (var service in (string[])["orchestrator", "pipeline-api"])
            await RunAsync(service, "migrate");
    }

    /// <summary>Runs a service's program with arguments, to its end; its output.</summary>
    public Task<string> RunAsync(string service, params string[] arguments) => RunProgramAsync(service, Program(service), arguments);

    /// <summary>Runs an assembly as a service's program, with its options, to its end; its output.</summary>
    public Task<string> RunProgramAsync(string service, string assembly, params string[] arguments) => ServerProcess.RunAsync("dotnet", [assembly, .. arguments], Environment(service));

    /// <summary>Starts a service, or a worker, that does not run, and waits until it answers.</summary>
    /// <param name="name">A service, also a further one of it, e.g. <c>orchestrator-2</c>; or any name for a worker.</param>
    /// <param name="options">More of its environment.</param>
    /// <param name="program">For a program that is not beside this assembly: its assembly and arguments.</param>
    /// <param name="within">A command that becomes the program that its further arguments name; none: the program itself.</param>
    public async Task StartAsync(string name, IReadOnlyDictionary<string, string>? options = null, IReadOnlyList<string>? program = null, IReadOnlyList<string>? within = null)
    {
        var environment = Environment(name);
        foreach (var (option, value) in options ?? new Dictionary<string, string>())
            environment[option] = value;
        if (_processes.TryRemove(name, out var previous))
            await previous.DisposeAsync();
        string[] command = [.. within ?? [], "dotnet", .. program ?? [Program(name)]];
        _processes[name] = await ServerProcess.StartAsync(command[0], command[1..], environment);
        await _processes[name].ListensAsync(new Uri(Address(name)).Port, StartLimit);
    }

    /// <summary>Ends a process as a crash does.</summary>
    public Task KillAsync(string name) => EndAsync(name, "KILL");

    /// <summary>Ends a process as an upgrade does: it is told to, and takes its time.</summary>
    public Task StopAsync(string name) => EndAsync(name, "TERM");

    private async Task EndAsync(string name, string signal)
    {
        await _processes[name].SignalAsync(signal);
        await _processes[name].EndedAsync();
    }

    /// <summary>The newest lines of every process.</summary>
    public string Outputs() => string.Concat(_processes.Select(p => $"{System.Environment.NewLine}--- {p.Key}{System.Environment.NewLine}{Tail(p.Value.Output)}"));

    /// <summary>Ends all processes and removes their folder.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes.Values)
            await process.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }

    private static string Tail(string text) => text.Length <= 4000 ? text : text[^4000..];

    /// <summary>The service of which a name names one instance: <c>orchestrator</c> of <c>orchestrator-2</c>.</summary>
    private static string ServiceOf(string name) => Assemblies.Keys.FirstOrDefault(s => name.StartsWith($"{s}-", StringComparison.Ordinal) && int.TryParse(name[(s.Length + 1)..], out _)) ?? name;

    private static string Program(string name) => Assemblies.TryGetValue(ServiceOf(name), out var assembly)
        ? Path.Combine(AppContext.BaseDirectory, assembly)
        : throw new ArgumentOutOfRangeException(nameof(name), name, "There is no program of this name.");

    private Dictionary<string, string> Environment(string name)
    {
        var environment = new Dictionary<string, string> { ["Service__Listen"] = Address(name) };
        var service = ServiceOf(name);
        if (service != "artifact-store")
            environment["Bus__Address"] = _broker;
        if (service != "artifact-store" && BrokerPasswordFile is { } file)
            environment["Bus__PasswordFile"] = file;
        switch (service)
        {
            case "orchestrator":
                environment["Orchestrator__Database"] = _database;
                break;
            case "pipeline-api":
                environment["PipelineApi__Database"] = _database;
                environment["Services__orchestrator"] = Address("orchestrator");
                environment["Services__artifact-store"] = Address("artifact-store");
                break;
            case "artifact-store":
                environment["ArtifactStore__Root"] = Artifacts;
                break;
            default:
                environment["Services__artifact-store"] = Address("artifact-store");
                environment["Worker__WorkFolder"] = Path.Combine(Folder, name);
                break;
        }
        return environment;
    }
}
