using System.Collections.Concurrent;
using MassTransit;

namespace TinyMLaaS.Services.Tests.Hosting;

/// <summary>The endpoints of a bus, to be stopped one by one: as if nobody read their queue any more.</summary>
internal sealed class StoppableEndpoints : IEndpointConfigurationObserver, IReceiveEndpointObserver
{
    private readonly ConcurrentDictionary<string, IReceiveEndpoint> _endpoints = new();

    public IReceiveEndpoint this[string queue] => _endpoints[queue];

    public void EndpointConfigured<T>(T configurator) where T : IReceiveEndpointConfigurator => configurator.ConnectReceiveEndpointObserver(this);

    public Task Ready(ReceiveEndpointReady ready)
    {
        _endpoints[ready.InputAddress.AbsolutePath.Split('/')[^1]] = ready.ReceiveEndpoint;
        return Task.CompletedTask;
    }

    public Task Stopping(ReceiveEndpointStopping stopping) => Task.CompletedTask;

    public Task Completed(ReceiveEndpointCompleted completed) => Task.CompletedTask;

    public Task Faulted(ReceiveEndpointFaulted faulted) => Task.CompletedTask;
}
