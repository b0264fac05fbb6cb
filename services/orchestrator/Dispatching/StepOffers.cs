using MassTransit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.Persistence;
using TinyMLaaS.Persistence.Outbox;

namespace TinyMLaaS.Orchestrator.Dispatching;

/// <summary>
/// Makes offers: writes the attempts of many steps down in one transaction, then tells the pools. An offer has no row of the outbox: one that does not leave, because of the broker or
/// because this process dies, expires like one that nobody claims, and is made again.
/// </summary>
internal sealed class StepOffers(
    IServiceScopeFactory scopes, WriteTransactions<OrchestratorDbContext> transactions, IBus bus, IOptions<OrchestratorOptions> options, TimeProvider time, ILogger<StepOffers> log)
{
    private static readonly TimeSpan SendLimit = TimeSpan.FromSeconds(10);

    /// <summary>Offers those of the steps that are still to be offered.</summary>
    /// <returns>Those that take a slot.</returns>
    public async Task<IReadOnlySet<OfferStep>> MakeAsync(IReadOnlyCollection<OfferStep> wanted, CancellationToken cancellation)
    {
        var made = new HashSet<OfferStep>();
        var outgoing = new List<Outgoing>();
        await using (var scope = scopes.CreateAsyncScope())
        {
            var database = scope.ServiceProvider.GetRequiredService<OrchestratorDbContext>();
            await using var transaction = await transactions.BeginAsync(database, cancellation);
            var runs = await database.LoadFreeForUpdateAsync([.. wanted.Select(w => w.RunId).Distinct()], time, cancellation);
            var byId = runs.ToDictionary(r => r.CorrelationId);
            foreach (var offer in wanted)
            {
                if (byId.GetValueOrDefault(offer.RunId) is not { } run)
                    continue;
                if (await SideEffects.OfferAsync(database, run, offer, options.Value, cancellation))
                    made.Add(offer);
                outgoing.AddRange(run.Outgoing);
                run.Outgoing.Clear();
            }
            await database.SaveRunsAsync(cancellation);
            FailurePoint.Reach(FailurePoint.BeforeCommit);
            await transaction.CommitAsync(cancellation);
            FailurePoint.Reach(FailurePoint.AfterCommit);
        }
        try
        {
            await Task.WhenAll(outgoing.Select(TellAsync)).WaitAsync(SendLimit, time, cancellation);
        }
        catch (Exception error) when (!cancellation.IsCancellationRequested)
        {
            log.LogWarning(error, "Offers could not leave; they expire and are made again.");
        }
        return made;
    }

    private async Task TellAsync(Outgoing outgoing)
    {
        await SideEffects.TellAsync(bus, bus, outgoing);
        FailurePoint.Reach(FailurePoint.BetweenPublishes);
    }
}
