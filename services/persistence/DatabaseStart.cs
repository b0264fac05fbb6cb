using System.Data.Common;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace TinyMLaaS.Persistence;

/// <summary>
/// Before anything else of the service starts: brings the database to this version where the process does that itself, and refuses one that lacks
/// migrations otherwise. A server that does not answer yet is waited for.
/// </summary>
internal sealed class DatabaseStart<TContext>(DatabaseMigration<TContext> migration, bool migrate, TimeProvider time, ILogger<DatabaseStart<TContext>> log) : IHostedLifecycleService
    where TContext : ServiceDbContext
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            try
            {
                await (migrate ? migration.ApplyAsync(cancellationToken) : migration.RequireAsync(cancellationToken));
                return;
            }
            catch (DbException error) when (migration.Address.IsPostgres && error.IsTransient && time.GetElapsedTime(began) < Patience)
            {
                log.LogWarning("The database '{Database}' does not answer yet: {Reason}", migration.Address, error.Message);
                await Task.Delay(Pause, time, cancellationToken);
            }
        }
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
