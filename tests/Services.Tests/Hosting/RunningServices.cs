using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Services.Tests.Hosting;

/// <summary>Service modules in a real Kestrel: the first on a free loopback port, those behind it on Unix sockets.</summary>
internal sealed class RunningServices : IAsyncDisposable
{
    private readonly WebApplication _app;

    private RunningServices(WebApplication app, HttpClient http)
    {
        _app = app;
        Http = http;
    }

    public IServiceProvider Services => _app.Services;

    /// <summary>A client of the first service.</summary>
    public HttpClient Http { get; }

    /// <param name="modules">The first is the one that is tested.</param>
    /// <param name="configuration">Its options.</param>
    /// <param name="sockets">Paths of the listeners of the services behind it, those included that have no module.</param>
    public static async Task<RunningServices> StartAsync(
        IReadOnlyList<ServiceModule> modules, IReadOnlyDictionary<string, string?> configuration, IReadOnlyDictionary<string, string>? sockets = null)
    {
        List<ServiceListener> listeners = [new ServiceListener(modules[0].Name, new IPEndPoint(IPAddress.Loopback, 0), null)];
        var settings = new Dictionary<string, string?>(configuration);
        foreach (var (service, path) in sockets ?? new Dictionary<string, string>())
        {
            listeners.Add(new ServiceListener(service, null, path));
            settings[ServiceClients.AddressKey(service)] = "unix:" + path;
        }
        var app = ServiceHost.Build(modules, listeners, settings, Serilog.Core.Logger.None);
        try
        {
            await app.StartAsync(TestContext.Current.CancellationToken);
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }
        var address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single(a => a.StartsWith("http://127.0.0.1:", StringComparison.Ordinal));
        return new RunningServices(app, new HttpClient { BaseAddress = new Uri(address) });
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await _app.StopAsync(limit.Token);
        await _app.DisposeAsync();
    }
}
