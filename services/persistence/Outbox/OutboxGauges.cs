using System.Diagnostics.Metrics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Persistence.Outbox;

/// <summary>Shows how long the oldest message has waited to leave, and how many wait: both grow when the broker is away.</summary>
internal sealed class OutboxGauges<TContext> : BackgroundService where TContext : ServiceDbContext
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    private readonly IServiceScopeFactory _scopes;
    private readonly TimeProvider _time;
    private readonly ILogger<OutboxGauges<TContext>> _log;
    private DateTimeOffset? _oldest;
    private long _count;

    public OutboxGauges(IServiceScopeFactory scopes, IMeterFactory meters, TimeProvider time, ILogger<OutboxGauges<TContext>> log)
    {
        (_scopes, _time, _log) = (scopes, time, log);
        var meter = meters.Create(Telemetry.Name);
        // Standalone has the outboxes of two services.
        using var scope = scopes.CreateScope();
        KeyValuePair<string, object?> whose = new("schema", scope.ServiceProvider.GetRequiredService<TContext>().Schema);
        meter.CreateObservableGauge("tinymlaas.outbox.age", () => new Measurement<double>(_oldest is { } oldest ? Math.Max(0, (_time.GetUtcNow() - oldest).TotalSeconds) : 0, whose), "s",
            "How long the oldest message of the outbox has waited to leave, by schema; 0 when none waits.");
        meter.CreateObservableGauge("tinymlaas.outbox.messages", () => new Measurement<long>(_count, whose), description: "Messages that wait to leave, by schema.");
    }

    /// <summary>Reads the rows once.</summary>
    public async Task ReadAsync(CancellationToken cancellation)
    {
        await using var scope = _scopes.CreateAsyncScope();
        var rows = scope.ServiceProvider.GetRequiredService<TContext>().Set<OutboxMessage>().AsNoTracking();
        (_count, _oldest) = (await rows.LongCountAsync(cancellation), await rows.MinAsync(m => (DateTimeOffset?)m.SentAt, cancellation));
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, _time);
        do
        {
            try
            {
                await ReadAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                // The last values stay; that the database is away is said by health.
                _log.LogDebug(error, "The outbox could not be looked at");
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }
}
