using System.Globalization;
using Npgsql;
using TinyMLaaS.Servers.Testing;
using TinyMLaaS.TestWorker.NoOp;

namespace TinyMLaaS.Benchmarks.Orchestration;

/// <summary>Five processes over RabbitMQ and PostgreSQL of their own on loopback: pipeline-api, orchestrator, artifact-store, and two workers.</summary>
internal sealed class DurableInstallation : Installation
{
    private static readonly string[] Workers = ["noop-1", "noop-2"];

    private readonly ServicePrograms _programs;
    private readonly PostgresServer _database;
    private readonly RabbitMqServer _broker;
    private readonly string _name;
    private readonly int _slots;
    private string? _killed;

    private DurableInstallation(ServicePrograms programs, PostgresServer database, RabbitMqServer broker, string name, int slots)
    {
        _programs = programs;
        _database = database;
        _broker = broker;
        _name = name;
        _slots = slots;
    }

    public override Uri Url => new(_programs.Address("pipeline-api") + "/");

    public override IReadOnlyDictionary<string, int[]> Processes => new Dictionary<string, int[]>
    {
        ["orchestrator"] = [_programs.Processes["orchestrator"].Pid],
        ["pipeline-api"] = [_programs.Processes["pipeline-api"].Pid],
        ["artifact-store"] = [_programs.Processes["artifact-store"].Pid],
        ["workers"] = [.. Workers.Select(w => _programs.Processes[w].Pid)],
        ["PostgreSQL"] = [_database.Pid],
        ["RabbitMQ"] = [_broker.Pid],
        ["client"] = [Environment.ProcessId],
    };

    /// <param name="database">A server of PostgreSQL.</param>
    /// <param name="broker">A server of RabbitMQ.</param>
    /// <param name="slots">Attempts at once, of all workers together.</param>
    public static async Task<DurableInstallation> StartAsync(PostgresServer database, RabbitMqServer broker, int slots)
    {
        const string Name = "orchestration";
        await database.ScalarAsync("postgres", $"CREATE DATABASE {Name}");
        await broker.AddVirtualHostAsync(Name);
        var installation = new DurableInstallation(new ServicePrograms(broker.Address(Name), database.ConnectionString(Name)), database, broker, Name, slots);
        await installation._programs.MigrateAsync();
        foreach (var service in ServicePrograms.ControlPlane)
        {
            await installation._programs.StartAsync(service, service == "orchestrator"
                ? new Dictionary<string, string> { ["Orchestrator__LeaseSeconds"] = LeaseSeconds.ToString(CultureInfo.InvariantCulture) }
                : null);
        }
        foreach (var worker in Workers)
            await installation.StartWorkerAsync(worker);
        return installation;
    }

    public override async Task<long?> CommitsAsync()
    {
        // The counters are told a moment later than the transactions end.
        await Task.Delay(TimeSpan.FromSeconds(1));
        return (long?)await _database.ScalarAsync("postgres", $"SELECT xact_commit FROM pg_stat_database WHERE datname = '{_name}'");
    }

    /// <summary>The statements that take most of the database's time: how often, seconds, text.</summary>
    public async Task<IReadOnlyList<(long Calls, double Seconds, string Text)>> StatementsAsync()
    {
        await using var connection = new NpgsqlConnection(_database.ConnectionString(_name) + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("SELECT calls, total_exec_time / 1000, query FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 40", connection);
        await using var reader = await command.ExecuteReaderAsync();
        var statements = new List<(long, double, string)>();
        while (await reader.ReadAsync())
            statements.Add((reader.GetInt64(0), reader.GetDouble(1), reader.GetString(2)));
        return statements;
    }

    /// <summary>Begins to count statements.</summary>
    public async Task CountStatementsAsync()
    {
        await _database.ScalarAsync(_name, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
        await _database.ScalarAsync(_name, "SELECT pg_stat_statements_reset()");
    }

    public override async Task<bool> KillWorkerAsync(int process)
    {
        _killed = Workers.Single(w => _programs.Processes[w].Pid == process);
        await _programs.KillAsync(_killed);
        return true;
    }

    public override Task RestartWorkerAsync() => StartWorkerAsync(_killed!);

    public override ValueTask DisposeAsync() => _programs.DisposeAsync();

    private Task StartWorkerAsync(string name) => _programs.StartAsync(
        name,
        new Dictionary<string, string> { ["Worker__Slots"] = (_slots / Workers.Length).ToString(CultureInfo.InvariantCulture) },
        [WorkerAssembly, NoOpModule.Argument]);
}
