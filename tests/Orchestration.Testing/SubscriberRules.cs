using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestration.Testing;

/// <summary>What a subscriber got, in the order of arrival.</summary>
/// <param name="Name">For the message of a violation.</param>
/// <param name="Tenant">Whose events it may see.</param>
/// <param name="Received">Every delivery, repeated ones too.</param>
internal sealed record SubscriberRecord(string Name, string Tenant, IReadOnlyList<ReceivedEvent> Received);

/// <summary>One delivery of one event.</summary>
internal sealed record ReceivedEvent(Guid Run, long Sequence, string Type);

/// <summary>I8: every event at least once, in order per run, and none that was never committed; and of I10 what is about subscribers.</summary>
internal static class SubscriberRules
{
    public static IEnumerable<InvariantViolation> Check(SubscriberRecord subscriber, IReadOnlyList<PipelineRun> runs)
    {
        var known = runs.ToDictionary(r => r.CorrelationId);
        foreach (var group in subscriber.Received.GroupBy(e => e.Run))
        {
            if (!known.TryGetValue(group.Key, out var run))
                yield return new InvariantViolation(Invariants.SubscribersSeeAll, $"{subscriber.Name} got events of a run that is not stored") { Run = group.Key };
            else if (run.Tenant != subscriber.Tenant)
                yield return new InvariantViolation(Invariants.TenantsAreApart, $"{subscriber.Name} of {subscriber.Tenant} got events of {run.Tenant}") { Run = group.Key };
        }
        var received = subscriber.Received.ToLookup(e => e.Run);
        foreach (var run in runs.Where(r => r.Tenant == subscriber.Tenant))
        {
            var types = run.Events.ToDictionary(e => e.Sequence, e => e.Type);
            var seen = new HashSet<long>();
            var newest = 0L;
            foreach (var got in received[run.CorrelationId])
            {
                if (!types.TryGetValue(got.Sequence, out var type))
                    yield return Violation(run, $"{subscriber.Name} got event {got.Sequence} ({got.Type}), which is not in the log");
                else if (type != got.Type)
                    yield return Violation(run, $"{subscriber.Name} got event {got.Sequence} as {got.Type}; the log has {type}");
                if (!seen.Add(got.Sequence))
                    continue;
                if (got.Sequence < newest)
                    yield return Violation(run, $"{subscriber.Name} got event {got.Sequence} for the first time after event {newest}");
                newest = Math.Max(newest, got.Sequence);
            }
            foreach (var missing in types.Keys.Where(s => !seen.Contains(s)).Order())
                yield return Violation(run, $"{subscriber.Name} never got event {missing} ({types[missing]})");
        }
    }

    private static InvariantViolation Violation(PipelineRun run, string message) => new(Invariants.SubscribersSeeAll, message) { Run = run.CorrelationId };
}
