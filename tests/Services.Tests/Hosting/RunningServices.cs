using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Services.Tests.Hosting;

/// <summary>Service modules in a real Kestrel on free loopback ports, each behind its own listener.</summary>
internal sealed class RunningServices : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Dictionary<string, HttpClient> _clients = [];

    private RunningServices(WebApplication app) => _app = app;

    public IServiceProvider Services => _app.Services;

    public static async Task<RunningServices> StartAsync(IReadOnlyList<ServiceModule> modules, IReadOnlyDictionary<string, string?> configuration)
    {
        var listeners = modules.Select(m => new ServiceListener(m.Name, new IPEndPoint(IPAddress.Loopback, 0), null)).ToArray();
        var app = ServiceHost.Build(modules, listeners, configuration, Serilog.Core.Logger.None);
        var running = new RunningServices(app);
        try
        {
            await app.StartAsync(TestContext.Current.CancellationToken);
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }
        var addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.ToArray();
        for (var i = 0; i < listeners.Length; i++)
            running._clients[listeners[i].Service] = new HttpClient { BaseAddress = new Uri(addresses[i]) };
        return running;
    }

    /// <summary>A client of one of the modules.</summary>
    public HttpClient this[string service] => _clients[service];

    public async ValueTask DisposeAsync()
    {
        foreach (var client in _clients.Values)
            client.Dispose();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await _app.StopAsync(limit.Token);
        await _app.DisposeAsync();
    }
}
