using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Standalone;

/// <summary>
/// Leaves signals to whoever started the server. The framework's own lifetime would stop it at Ctrl-C, before the command line that
/// carries it has cancelled its run over HTTP.
/// </summary>
internal sealed class ProcessLifetimeModule : ServiceModule
{
    public override string Name => "standalone";

    public override void AddServices(IHostApplicationBuilder builder) =>
        builder.Services.Replace(ServiceDescriptor.Singleton<IHostLifetime, CallerLifetime>());

    private sealed class CallerLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
