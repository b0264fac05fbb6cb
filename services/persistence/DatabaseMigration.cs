using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Persistence;

/// <summary>The migrations of one service's database.</summary>
internal sealed class DatabaseMigration<TContext>(IServiceScopeFactory scopes, string section, DatabaseAddress address) : IMigration
    where TContext : ServiceDbContext
{
    public string Subject => $"the database '{address}'";

    public DatabaseAddress Address => address;

    public async Task ApplyAsync(CancellationToken cancellation)
    {
        if (address.File is { } file && Path.GetDirectoryName(Path.GetFullPath(file)) is { } folder)
            Directory.CreateDirectory(folder);
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<TContext>().Database.MigrateAsync(cancellation);
    }

    /// <summary>Refuses a database that lacks migrations.</summary>
    /// <exception cref="InvalidOperationException">It lacks some.</exception>
    public async Task RequireAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var pending = (await scope.ServiceProvider.GetRequiredService<TContext>().Database.GetPendingMigrationsAsync(cancellation)).ToArray();
        if (pending.Length > 0)
        {
            throw new InvalidOperationException(
                $"The database '{address}' of {section}:Database lacks {string.Join(", ", pending)}. Apply its migrations first; {section}:MigrateAtStart=true lets this process do it.");
        }
    }
}
