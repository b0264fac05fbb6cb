using System.Globalization;
using Npgsql;
using TinyMLaaS.Servers.Testing;

namespace TinyMLaaS.Integration.Tests.Servers;

/// <summary>
/// The broker and the database that classes share: those whose addresses the environment gives, or own ones. Each class gets a virtual host and a database of
/// its own, so that none sees another's messages and rows.
/// </summary>
public sealed class TestServers : IAsyncLifetime
{
    private const string RabbitMqVariable = "TINYML_TEST_RABBITMQ";
    private const string PostgresVariable = "TINYML_TEST_POSTGRES";

    private readonly string? _rabbitMq = Environment.GetEnvironmentVariable(RabbitMqVariable);
    private readonly string? _postgres = Environment.GetEnvironmentVariable(PostgresVariable);
    private RabbitMqServer? _ownRabbitMq;
    private PostgresServer? _ownPostgres;
    private int _databases;

    public async ValueTask InitializeAsync()
    {
        var broker = string.IsNullOrEmpty(_rabbitMq) ? RabbitMqServer.StartAsync() : null;
        var database = string.IsNullOrEmpty(_postgres) ? PostgresServer.StartAsync() : null;
        _ownRabbitMq = broker is null ? null : await broker;
        _ownPostgres = database is null ? null : await database;
        await using var connection = new NpgsqlConnection(Connection("postgres"));
        await connection.OpenAsync();
        var versions = await RabbitMqServer.VersionAsync(_ownRabbitMq?.Address("%2F") ?? _rabbitMq!);
        Description = string.Create(CultureInfo.InvariantCulture,
            $"RabbitMQ {versions} ({Process(_ownRabbitMq?.Pid, RabbitMqVariable)}), PostgreSQL {connection.PostgreSqlVersion.ToString(2)} ({Process(_ownPostgres?.Pid, PostgresVariable)})");
    }

    /// <summary>Versions and processes.</summary>
    public string Description { get; private set; } = "";

    /// <summary>The connection string of a new, empty database.</summary>
    public async Task<string> NewDatabaseAsync()
    {
        var name = $"tinyml_{Environment.ProcessId}_{Interlocked.Increment(ref _databases)}";
        await using var connection = new NpgsqlConnection(Connection("postgres"));
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"CREATE DATABASE {name}", connection);
        await command.ExecuteNonQueryAsync();
        return Connection(name);
    }

    /// <summary>The address of a virtual host that is new; the one of the environment has to be empty.</summary>
    public async Task<string> NewVirtualHostAsync()
    {
        if (_ownRabbitMq is null)
            return _rabbitMq!;
        var name = $"tinyml-{Interlocked.Increment(ref _databases)}";
        await _ownRabbitMq.AddVirtualHostAsync(name);
        return _ownRabbitMq.Address(name);
    }

    public async ValueTask DisposeAsync()
    {
        if (_ownRabbitMq is not null)
            await _ownRabbitMq.DisposeAsync();
        if (_ownPostgres is not null)
            await _ownPostgres.DisposeAsync();
    }

    private string Connection(string database) => _ownPostgres?.ConnectionString(database)
        ?? new NpgsqlConnectionStringBuilder(_postgres) { Database = database }.ConnectionString;

    private static string Process(int? pid, string variable) => pid is null ? $"of {variable}" : string.Create(CultureInfo.InvariantCulture, $"process {pid}");
}

/// <summary>Says once per class which servers it ran on.</summary>
public sealed class ServersInUse
{
    public ServersInUse(TestServers servers)
    {
        Servers = servers;
        Console.WriteLine($"{TestContext.Current.TestClass?.TestClassSimpleName}: {servers.Description}");
    }

    public TestServers Servers { get; }
}
