using Microsoft.Data.Sqlite;

namespace TinyMLaaS.EndToEnd.Tests;

/// <summary>Looks into a service's database from outside.</summary>
internal static class DatabaseRows
{
    /// <summary>Rows of each table, as <c>file table: count</c>.</summary>
    public static IReadOnlyList<string> Count(string path)
    {
        using var connection = Open(path);
        var tables = Column(connection, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
        return [.. tables.Select(t => $"{Path.GetFileName(path)} {t}: {Column(connection, $"SELECT COUNT(*) FROM \"{t}\"")[0]}")];
    }

    /// <summary>The first column of a query as text.</summary>
    public static IReadOnlyList<string> Query(string path, string sql)
    {
        using var connection = Open(path);
        return Column(connection, sql);
    }

    private static SqliteConnection Open(string path)
    {
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Mode = SqliteOpenMode.ReadOnly, Pooling = false }.ToString());
        connection.Open();
        return connection;
    }

    private static List<string> Column(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        using var reader = command.ExecuteReader();
        var values = new List<string>();
        while (reader.Read())
            values.Add(reader.GetValue(0).ToString() ?? "");
        return values;
    }
}
