using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace TinyMLaaS.Persistence;

/// <summary>Which errors of a database pass when the same is tried again from the start.</summary>
public static class DatabaseErrors
{
    /// <summary>Another writer was first: what was decided was decided on old rows.</summary>
    public static bool IsConflict(Exception error) => error switch
    {
        DbUpdateConcurrencyException => true,
        DbUpdateException { InnerException: { } inner } => IsConflict(inner),
        PostgresException postgres => postgres.SqlState is PostgresErrorCodes.UniqueViolation or PostgresErrorCodes.ForeignKeyViolation
            or PostgresErrorCodes.SerializationFailure or PostgresErrorCodes.DeadlockDetected,
        Microsoft.Data.Sqlite.SqliteException sqlite => sqlite.SqliteErrorCode is SqliteBusy or SqliteLocked or SqliteConstraint,
        _ => false,
    };

    /// <summary>The database does not answer, or ended the connection.</summary>
    public static bool IsUnavailable(Exception error) => error switch
    {
        DbUpdateException { InnerException: { } inner } => IsUnavailable(inner),
        // EF's advice to switch its own retries on, which do not go together with transactions of ours.
        InvalidOperationException { InnerException: { } inner } => IsUnavailable(inner),
        PostgresException postgres => postgres.IsTransient || postgres.SqlState is PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown or PostgresErrorCodes.CannotConnectNow,
        NpgsqlException => true,
        Microsoft.Data.Sqlite.SqliteException => false,
        DbException other => other.IsTransient,
        _ => false,
    };

    private const int SqliteBusy = 5;
    private const int SqliteLocked = 6;
    private const int SqliteConstraint = 19;
}
