using MassTransit;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.WorkerHost;

/// <summary>Says that the worker is there, every few seconds and when it leaves.</summary>
internal sealed class WorkerLife(Worker worker, IBus bus, Loops loops, TimeProvider time, ILogger log) : BackgroundService, IHostedLifecycleService
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan FarewellLimit = TimeSpan.FromSeconds(3);

    private readonly Loop _loop = loops.Add(worker.Name, "announcements", Every);

    public Task StartingAsync(CancellationToken cancellationToken)
    {
        worker.Prepare();
        return Task.CompletedTask;
    }

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    // Before anything is stopped: later the bus would no longer take the message.
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        await worker.StopAsync(cancellationToken);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(FarewellLimit);
        try
        {
            await bus.Publish(worker.Announcement(leaving: true), limit.Token);
        }
        catch (Exception error)
        {
            // Its silence says the same, later.
            log.LogWarning(error, "The broker could not be told that {Worker} leaves.", worker.Instance);
        }
    }

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, time);
        do
        {
            if (!worker.IsStopping)
                await bus.Publish(worker.Announcement(leaving: false), stoppingToken);
            _loop.Pass();
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }
}
