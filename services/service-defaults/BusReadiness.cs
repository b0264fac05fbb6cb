using MassTransit;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.Contracts.Health;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Every service that uses the bus needs it, and each of its endpoints to receive.</summary>
internal sealed class BusReadiness(string service, IBusControl bus, BusStart start, BrokerLogin? login, BrokerAlarm? alarm) : IReadinessCheck
{
    public string Service => service;

    public Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation)
    {
        var health = bus.CheckHealth();
        if (health.Status == BusHealthStatus.Healthy)
            return Task.FromResult<IReadOnlyList<MissingService>>(alarm?.Reason is { } full ? [new MissingService { Service = "message-bus", Reason = full }] : []);
        var silent = health.Endpoints.Where(e => e.Value.Status != BusHealthStatus.Healthy)
            .Select(e => (Queue: e.Value.InputAddress?.AbsolutePath.Split('/')[^1] ?? e.Key, e.Value.Description))
            .OrderBy(e => e.Queue, StringComparer.Ordinal)
            .Select(e => $"'{e.Queue}' ({e.Description})").ToArray();
        var reason = login?.Refusal ?? (silent.Length == 0 ? health.Description : $"{health.Description}. Nothing is received on {string.Join(", ", silent)}");
        return Task.FromResult<IReadOnlyList<MissingService>>([new MissingService { Service = "message-bus", Reason = reason }]);
    }

    public IReadOnlyList<MissingService> NotBegun() =>
        start.HasConnected ? [] : [new MissingService { Service = "message-bus", Reason = login?.Refusal ?? "it has not been connected to since the process started" }];
}

/// <summary>Remembers that the bus has been there once: what comes after is no matter of the start.</summary>
internal sealed class BusStart(IBusControl bus) : BackgroundService
{
    private volatile bool _connected;

    public bool HasConnected => _connected;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!_connected && !stoppingToken.IsCancellationRequested)
            _connected = await bus.WaitForHealthStatus(BusHealthStatus.Healthy, stoppingToken) == BusHealthStatus.Healthy;
    }
}
