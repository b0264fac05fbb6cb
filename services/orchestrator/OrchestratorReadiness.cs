using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.Orchestrator;

/// <summary>The orchestrator needs its database, with all migrations.</summary>
internal sealed class OrchestratorReadiness(IServiceScopeFactory scopes) : IReadinessCheck
{
    public string Service => OrchestratorModule.ServiceName;

    public async Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation)
    {
        var missing = new List<MissingService>();
        try
        {
            await using var scope = scopes.CreateAsyncScope();
            var pending = await scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>().Database.GetPendingMigrationsAsync(cancellation);
            if (pending.Any())
                missing.Add(new MissingService { Service = "orchestrator-database", Reason = $"migrations are not applied: {string.Join(", ", pending)}" });
        }
        catch (Exception error) when (error is DbException || DatabaseErrors.IsUnavailable(error))
        {
            missing.Add(new MissingService { Service = "orchestrator-database", Reason = error.Message });
        }
        return missing;
    }
}
