using MassTransit;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.WorkerHost;

/// <summary>A worker needs the bus. The artifact-store it needs per attempt, and an attempt that misses it is tried again.</summary>
internal sealed class WorkerReadiness(string service, IBusControl bus) : IReadinessCheck
{
    public string Service => service;

    public Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation)
    {
        var health = bus.CheckHealth();
        return Task.FromResult<IReadOnlyList<MissingService>>(
            health.Status == BusHealthStatus.Healthy ? [] : [new MissingService { Service = "message-bus", Reason = health.Description }]);
    }
}
