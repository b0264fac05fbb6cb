using System.Globalization;
using Npgsql;

namespace TinyMLaaS.Servers.Testing;

/// <summary>PostgreSQL of Debian's package on a free port of loopback, with a data folder of its own. It refuses to run as root, so root runs it as <c>postgres</c>.</summary>
internal sealed class PostgresServer : IAsyncDisposable
{
    private const string Superuser = "tinyml_test";
    private const string Password = "for this server alone";
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly string _folder;
    private readonly string _programs;
    private ServerProcess? _process;

    private readonly string[] _settings;

    private PostgresServer(string folder, string programs, int port, string[] settings)
    {
        _settings = settings;
        _folder = folder;
        _programs = programs;
        Port = port;
    }

    public int Port { get; }

    public int Pid => _process!.Pid;

    public bool IsRunning => _process!.IsRunning;

    public string ConnectionString(string database) => $"Host=127.0.0.1;Port={Port};Username={Superuser};Password={Password};Database={database}";

    private string Data => Path.Combine(_folder, "data");

    private static bool IsRoot => Environment.UserName == "root";

    /// <param name="settings">More settings, each as <c>NAME=VALUE</c>.</param>
    public static Task<PostgresServer> StartAsync(params string[] settings) => StartInAsync(Directory.CreateTempSubdirectory("tinymlaas-pg-").FullName, settings);

    /// <param name="folder">An empty folder for its data, which is removed with it.</param>
    /// <param name="settings">More settings, each as <c>NAME=VALUE</c>.</param>
    public static async Task<PostgresServer> StartInAsync(string folder, params string[] settings)
    {
        var programs = Programs() ?? throw new InvalidOperationException($"PostgreSQL is missing. Install it: {ServerPackages.Installation}");
        var server = new PostgresServer(folder, programs, ServerProcess.FreePort(), settings);
        if (IsRoot)
            await ServerProcess.RunAsync("/bin/chown", ["postgres:", server._folder]);
        var password = Path.Combine(server._folder, "password");
        await File.WriteAllTextAsync(password, Password);
        if (IsRoot)
            await ServerProcess.RunAsync("/bin/chown", ["postgres:", password]);
        var (file, arguments) = server.AsOwner("initdb", "-D", server.Data, "-U", Superuser, $"--pwfile={password}", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8");
        await ServerProcess.RunAsync(file, arguments);
        await server.StartAgainAsync();
        return server;
    }

    /// <summary>Starts the server on the data that is there.</summary>
    public async Task StartAgainAsync()
    {
        var (file, arguments) = AsOwner(
            "postgres", ["-D", Data, "-p", Port.ToString(CultureInfo.InvariantCulture), "-c", "listen_addresses=127.0.0.1", "-c", $"unix_socket_directories={_folder}", "-c", "max_connections=300",
            .. _settings.SelectMany(s => (string[])["-c", s])]);
        _process = await ServerProcess.StartAsync(file, arguments);
        await _process.ListensAsync(Port, StartLimit);
        using var limit = new CancellationTokenSource(StartLimit);
        while (true)
        {
            try
            {
                await using var connection = new NpgsqlConnection(ConnectionString("postgres") + ";Pooling=false");
                await connection.OpenAsync(limit.Token);
                return;
            }
            catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.CannotConnectNow)
            {
                await Task.Delay(50, limit.Token);
            }
        }
    }

    /// <summary>Ends the server as a crash does: no checkpoint, no goodbye to clients.</summary>
    public async Task StopImmediatelyAsync()
    {
        await _process!.SignalAsync("QUIT");
        await _process.EndedAsync();
    }

    public async Task<string> VersionAsync() => (string)(await ScalarAsync("postgres", "SHOW server_version"))!;

    public async Task<object?> ScalarAsync(string database, string sql)
    {
        await using var connection = new NpgsqlConnection(ConnectionString(database) + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
            await _process.DisposeAsync();
        NpgsqlConnection.ClearAllPools();
        // Its workers end a moment after the server.
        for (var tries = 0; Directory.Exists(_folder); tries++)
        {
            try
            {
                Directory.Delete(_folder, recursive: true);
            }
            catch (IOException) when (tries < 100)
            {
                await Task.Delay(50);
            }
        }
    }

    private (string File, string[] Arguments) AsOwner(string program, params string[] arguments) => IsRoot
        ? ("/usr/bin/setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", Path.Combine(_programs, program), .. arguments])
        : (Path.Combine(_programs, program), arguments);

    private static string? Programs() =>
        Directory.Exists("/usr/lib/postgresql")
            ? Directory.EnumerateDirectories("/usr/lib/postgresql").OrderByDescending(d => int.Parse(Path.GetFileName(d), CultureInfo.InvariantCulture))
                .Select(d => Path.Combine(d, "bin")).FirstOrDefault(d => File.Exists(Path.Combine(d, "initdb")))
            : null;
}
