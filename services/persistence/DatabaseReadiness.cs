using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Persistence;

/// <summary>A service needs its database, with all migrations, and with room on its disk: a server whose disk is full still answers who only reads.</summary>
internal sealed class DatabaseReadiness<TContext>(string service, IServiceScopeFactory scopes) : IReadinessCheck
    where TContext : ServiceDbContext
{
    // Some hundred kB that do not fit into the memory they are given, so that the server lays them on its disk. Nothing of it is left, and no right is needed for it.
    private const string LittleMemory = "SET LOCAL work_mem = '64kB'";
    private const string NeedsRoom = "SELECT count(*) FROM generate_series(1, 20000)";

    public string Service => service;

    public async Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation)
    {
        try
        {
            await using var scope = scopes.CreateAsyncScope();
            var database = scope.ServiceProvider.GetRequiredService<TContext>().Database;
            var pending = await database.GetPendingMigrationsAsync(cancellation);
            if (pending.Any())
                return Missing($"migrations are not applied: {string.Join(", ", pending)}");
            if (database.IsNpgsql())
            {
                await using var transaction = await database.BeginTransactionAsync(cancellation);
                await database.ExecuteSqlRawAsync(LittleMemory, cancellation);
                await database.ExecuteSqlRawAsync(NeedsRoom, cancellation);
            }
            return [];
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.DiskFull)
        {
            return Missing($"the disk of the database is full: {error.MessageText}");
        }
        catch (Exception error) when (error is DbException || DatabaseErrors.IsUnavailable(error))
        {
            return Missing(error.Message);
        }
    }

    private MissingService[] Missing(string reason) => [new MissingService { Service = $"{service}-database", Reason = reason }];
}
