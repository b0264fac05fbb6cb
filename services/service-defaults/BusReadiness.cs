using MassTransit;
using TinyMLaaS.Contracts.Health;

namespace TinyMLaaS.ServiceDefaults;

/// <summary>Every service that uses the bus needs it.</summary>
internal sealed class BusReadiness(string service, IBusControl bus, BrokerLogin? login) : IReadinessCheck
{
    public string Service => service;

    public Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation)
    {
        var health = bus.CheckHealth();
        return Task.FromResult<IReadOnlyList<MissingService>>(
            health.Status == BusHealthStatus.Healthy ? [] : [new MissingService { Service = "message-bus", Reason = login?.Refusal ?? health.Description }]);
    }
}
