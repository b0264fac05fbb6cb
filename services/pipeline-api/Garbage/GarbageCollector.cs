using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.PipelineApi.Requests;

namespace TinyMLaaS.PipelineApi.Garbage;

/// <summary>Collects garbage every hour, where a retention is configured.</summary>
internal sealed class GarbageCollector(IServiceScopeFactory scopes, TimeProvider time, IOptions<PipelineApiOptions> options, ILogger<GarbageCollector> log) : BackgroundService
{
    private static readonly TimeSpan Period = TimeSpan.FromHours(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (options.Value.ArtifactRetentionHours is not { } hours)
            return;
        using var timer = new PeriodicTimer(Period, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await using var scope = scopes.CreateAsyncScope();
                var report = await scope.ServiceProvider.GetRequiredService<GarbageCollection>().CollectAsync(TimeSpan.FromHours(hours), dryRun: false, stoppingToken);
                log.LogInformation("Removed {Removed} artifacts of {Bytes} bytes that nothing refers to and nobody has used for {Hours} h; {Referenced} are referred to", report.Removed, report.Bytes, hours, report.Referenced);
            }
            catch (ServiceUnavailableException error)
            {
                log.LogWarning("No garbage was collected: {Service} is unavailable: {Reason}. It is tried again in an hour", error.Service, error.Reason);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogError(error, "Collecting garbage failed. It is tried again in an hour");
            }
        }
    }
}
