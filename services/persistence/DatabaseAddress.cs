using System.Data.Common;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace TinyMLaaS.Persistence;

/// <summary>Where a service keeps its rows: the path of an SQLite file, or a connection string of PostgreSQL.</summary>
public sealed record DatabaseAddress
{
    /// <summary>What to write into the configuration, for messages.</summary>
    public const string Expected = "the path of an SQLite file, or a connection string of PostgreSQL that begins with Host=, e.g. Host=db;Database=tinymlaas;Username=orchestrator;Passfile=/run/secrets/pgpass";

    private const int PreparedStatements = 200;

    private static readonly string[] ServerKeys = ["Host", "Server"];

    private DatabaseAddress(string connectionString, string? file, string display)
    {
        ConnectionString = connectionString;
        File = file;
        Display = display;
    }

    /// <summary>What the driver is given.</summary>
    public string ConnectionString { get; }

    /// <summary>Path of the SQLite file; null for PostgreSQL.</summary>
    public string? File { get; }

    /// <summary>True for PostgreSQL.</summary>
    public bool IsPostgres => File is null;

    /// <summary>The address without its secrets, for messages.</summary>
    public string Display { get; }

    /// <summary>Reads either form.</summary>
    /// <exception cref="FormatException">The text is neither.</exception>
    public static DatabaseAddress Parse(string text)
    {
        var key = text.Split('=', 2)[0].Trim();
        if (!text.Contains('=', StringComparison.Ordinal) || !ServerKeys.Contains(key, StringComparer.OrdinalIgnoreCase))
        {
            return text.Trim().Length == 0
                ? throw new FormatException($"No database is named. Expected {Expected}.")
                : new DatabaseAddress(new SqliteConnectionStringBuilder { DataSource = text }.ToString(), text, text);
        }
        NpgsqlConnectionStringBuilder postgres;
        try
        {
            postgres = new NpgsqlConnectionStringBuilder(text);
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidCastException)
        {
            // Not the text itself: it may hold a password.
            throw new FormatException($"The connection string of PostgreSQL cannot be read: {e.Message} Expected {Expected}.", e);
        }
        if (string.IsNullOrWhiteSpace(postgres.Host) || string.IsNullOrWhiteSpace(postgres.Database))
            throw new FormatException($"The connection string of PostgreSQL names no {(string.IsNullOrWhiteSpace(postgres.Host) ? "Host" : "Database")}. Expected {Expected}.");
        // Statements are few and come again and again, so the server parses and plans each once a connection; and no service leaves anything behind on a connection that
        // would have to be discarded. A connection string that says otherwise, as for a pooler between, is obeyed.
        var given = new DbConnectionStringBuilder { ConnectionString = text }.Keys.Cast<string>().Select(k => k.Replace(" ", "", StringComparison.Ordinal)).ToHashSet(StringComparer.OrdinalIgnoreCase);
        if (!given.Contains(nameof(postgres.MaxAutoPrepare)))
            postgres.MaxAutoPrepare = PreparedStatements;
        if (!given.Contains(nameof(postgres.NoResetOnClose)))
            postgres.NoResetOnClose = true;
        return new DatabaseAddress(postgres.ConnectionString, null, $"{postgres.Database} at {postgres.Host}:{postgres.Port}");
    }

    /// <inheritdoc/>
    public override string ToString() => Display;
}
