using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestration.Testing;

/// <summary>
/// What must hold of the orchestrator's rows and of what they refer to, whatever happened before. The checks read the rows and nothing else, so
/// they do for every kind of database; they share no code with what writes them.
/// </summary>
/// <remarks>
/// I1 a run ends exactly once, and once more for each time it is resumed. I2 a step has one winning attempt. I3 fences strictly increase, and nothing is committed under an old one.
/// I4 the events of a run have no gap and fold to its rows. I5 an ended run holds no lease and no slot, and once all is quiet nothing waits to be
/// delivered. I6 every artifact referred to exists and is what its digest says. I8 every subscriber saw every event, in order.
/// I10 no tenant sees an id of another.
/// </remarks>
internal static class Invariants
{
    public const string EndsOnce = "I1";
    public const string OneWinner = "I2";
    public const string FencesIncrease = "I3";
    public const string EventsFold = "I4";
    public const string NothingHeld = "I5";
    public const string ArtifactsAreThere = "I6";
    public const string SubscribersSeeAll = "I8";
    public const string TenantsAreApart = "I10";

    /// <summary>Every violation in the database, and in what the scope adds to it; none is good.</summary>
    public static async Task<IReadOnlyList<InvariantViolation>> CheckAsync(OrchestratorDbContext database, InvariantScope scope, CancellationToken cancellation)
    {
        var runs = await database.WholeRuns.Include(r => r.Events).Include(r => r.Log).AsNoTracking().OrderBy(r => r.CorrelationId).ToListAsync(cancellation);
        var cache = await database.StepCache.AsNoTracking().OrderBy(e => e.Key).ToListAsync(cancellation);
        var violations = runs.SelectMany(Check).ToList();
        if (scope.Quiet)
            violations.AddRange(NotQuiet(runs, scope));
        violations.AddRange(TenantRules.Check(runs, cache));
        foreach (var subscriber in scope.Subscribers)
            violations.AddRange(SubscriberRules.Check(subscriber, runs));
        if (scope.Artifacts is { } open)
            violations.AddRange(await ArtifactRules.CheckAsync(runs, cache, open, cancellation));
        return violations;
    }

    /// <summary>I1 to I5 of one run that was read with its steps, attempts and events. Cheap enough to ask after each message.</summary>
    public static IEnumerable<InvariantViolation> Check(PipelineRun run)
    {
        var fold = RunFold.Of(run);
        return [.. RunRules.Check(run), .. fold.Violations, .. FoldRules.Check(run, fold)];
    }

    private static IEnumerable<InvariantViolation> NotQuiet(IEnumerable<PipelineRun> runs, InvariantScope scope)
    {
        foreach (var run in runs.Where(r => !RunStates.IsTerminal(r.PublicState)))
            yield return new InvariantViolation(EndsOnce, $"all is quiet and the run is still {run.PublicState}") { Run = run.CorrelationId };
        foreach (var (place, count) in scope.Undelivered.Where(u => u.Value != 0))
            yield return new InvariantViolation(NothingHeld, $"all is quiet and {place} still holds {count}");
    }
}

/// <summary>What is looked at beside the orchestrator's rows.</summary>
internal sealed record InvariantScope
{
    /// <summary>Nothing is on its way and nobody works: every run must have ended, and nothing may wait to be delivered.</summary>
    public bool Quiet { get; init; }

    /// <summary>What waits in outboxes and dead-letter queues, by the name of the place; looked at when <see cref="Quiet"/>.</summary>
    public IReadOnlyDictionary<string, long> Undelivered { get; init; } = new Dictionary<string, long>();

    /// <summary>Reads a tenant's artifact by digest, null when it is not there; without it artifacts are not looked at.</summary>
    public Func<string, string, CancellationToken, Task<Stream?>>? Artifacts { get; init; }

    /// <summary>What subscribers got.</summary>
    public IReadOnlyList<SubscriberRecord> Subscribers { get; init; } = [];
}
