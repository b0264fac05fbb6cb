using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>The orchestrator's database, in memory, as long as this connection to it is open.</summary>
internal sealed class ModelDatabase : IDisposable
{
    private static readonly Lazy<SqliteConnection> Migrated = new(() =>
    {
        var connection = Open($"file:template-{Guid.NewGuid():N}?mode=memory&cache=shared");
        using var database = Context(connection);
        database.Database.Migrate();
        return connection;
    });

    private readonly SqliteConnection _connection;

    public ModelDatabase()
    {
        Source = $"file:simulation-{Guid.NewGuid():N}?mode=memory&cache=shared";
        _connection = Open(Source);
        lock (Migrated)
            Migrated.Value.BackupDatabase(_connection);
    }

    /// <summary>What the product opens it by.</summary>
    public string Source { get; }

    public OrchestratorDbContext Context() => Context(_connection);

    public (string State, long Sequence)? StateOf(Guid run)
    {
        using var command = Command("SELECT CurrentState, Sequence FROM runs WHERE CorrelationId = $0", run);
        using var reader = command.ExecuteReader();
        return reader.Read() ? (reader.GetString(0).ToLowerInvariant(), reader.GetInt64(1)) : null;
    }

    /// <summary>The first row's columns; empty when there is no row.</summary>
    public object[] Read(string sql, params object[] arguments)
    {
        using var command = Command(sql, arguments);
        using var reader = command.ExecuteReader();
        if (!reader.Read())
            return [];
        var row = new object[reader.FieldCount];
        reader.GetValues(row);
        return row;
    }

    public int Write(string sql, params object[] arguments)
    {
        using var command = Command(sql, arguments);
        return command.ExecuteNonQuery();
    }

    public void Dispose() => _connection.Dispose();

    private SqliteCommand Command(string sql, params object[] arguments)
    {
        var command = _connection.CreateCommand();
        command.CommandText = sql;
        for (var i = 0; i < arguments.Length; i++)
            command.Parameters.AddWithValue($"${i}", arguments[i] is Guid id ? id.ToString().ToUpperInvariant() : arguments[i]);
        return command;
    }

    private static SqliteConnection Open(string source)
    {
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = source, Pooling = false }.ToString());
        connection.Open();
        return connection;
    }

    private static OrchestratorDbContext Context(SqliteConnection connection) =>
        new(new DbContextOptionsBuilder<OrchestratorDbContext>().UseSqlite(connection).Options);
}
