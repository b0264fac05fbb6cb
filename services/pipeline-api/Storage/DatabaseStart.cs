using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace TinyMLaaS.PipelineApi.Storage;

/// <summary>Brings the database to this version before anything uses it, or refuses to start on an older one.</summary>
internal sealed class DatabaseStart(IServiceScopeFactory scopes, IOptions<PipelineApiOptions> options) : IHostedLifecycleService
{
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<PipelineApiDbContext>().Database;
        if (options.Value.MigrateAtStart)
        {
            if (Path.GetDirectoryName(Path.GetFullPath(options.Value.Database)) is { } folder)
                Directory.CreateDirectory(folder);
            await database.MigrateAsync(cancellationToken);
        }
        else if ((await database.GetPendingMigrationsAsync(cancellationToken)).ToArray() is { Length: > 0 } pending)
        {
            throw new InvalidOperationException(
                $"The database '{options.Value.Database}' lacks {string.Join(", ", pending)}. Set PipelineApi:MigrateAtStart to true, or apply the migrations first.");
        }
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
