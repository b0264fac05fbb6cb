using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>Refuses to start where keys are needed and none would be accepted: nobody could use the service, and somebody might open it to help themselves.</summary>
internal sealed class KeysAtStart(IServiceScopeFactory scopes, KeyRequirement requirement) : IHostedLifecycleService
{
    /// <exception cref="StartRefusedException"><c>no-keys</c>.</exception>
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        if (!requirement.IsRequired)
            return;
        await using var scope = scopes.CreateAsyncScope();
        if (!await scope.ServiceProvider.GetRequiredService<KeyRing>().AnyAsync(cancellationToken))
        {
            throw new StartRefusedException("no-keys",
                $"{PipelineApiModule.ServiceName} needs keys because {requirement.Reason}, and there is no key that is neither expired nor revoked. "
                + "Make the first one on this machine: 'tinyml key create NAME' for a standalone home, the argument 'create-key TENANT NAME' of pipeline-api for a service.");
        }
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
