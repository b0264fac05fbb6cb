using System.Text.Json;
using System.Text.RegularExpressions;
using TinyMLaaS.Contracts;
using TinyMLaaS.Orchestrator.Caching;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestration.Testing;

/// <summary>I10: what a tenant can read of a run names no run of another tenant, and what came from the cache came from its own.</summary>
internal static partial class TenantRules
{
    public static IEnumerable<InvariantViolation> Check(IReadOnlyList<PipelineRun> runs, IReadOnlyList<StepCacheEntry> cache)
    {
        var owners = runs.ToDictionary(r => r.CorrelationId, r => r.Tenant);
        var entries = cache.ToLookup(e => (e.Tenant, e.Report.Digest));
        foreach (var run in runs)
        {
            if (run.Submission.Tenant != run.Tenant)
                yield return Violation(run, null, $"the run is {run.Tenant}'s and was submitted for {run.Submission.Tenant}");
            foreach (var @event in run.Events.OrderBy(e => e.Sequence))
            {
                using var data = JsonDocument.Parse(@event.Data);
                if (data.RootElement.GetProperty("tenant").GetString() is var tenant && tenant != run.Tenant)
                    yield return Violation(run, null, $"event {@event.Sequence} ({@event.Type}) names tenant {tenant}; the run is {run.Tenant}'s");
            }
            foreach (var (step, place, text) in Texts(run))
            {
                foreach (var owner in Ids().Matches(text).Select(id => owners.GetValueOrDefault(Guid.Parse(id.ValueSpan), run.Tenant)).Where(owner => owner != run.Tenant))
                    yield return Violation(run, step, $"{place} of {run.Tenant} holds the id of a run of {owner}");
            }
            foreach (var step in run.Steps.Where(s => s.Cached))
            {
                if (!entries[(run.Tenant, step.Report!.Digest)].Any(e => e.Outputs.SequenceEqual(step.Outputs)))
                    yield return Violation(run, step.Position, $"the step came from the cache, and {run.Tenant} has no such entry there");
            }
        }
    }

    private static IEnumerable<(int? Step, string Place, string Text)> Texts(PipelineRun run)
    {
        yield return (null, "the submission", JsonSerializer.Serialize(run.Submission, ContractJson.Options));
        if (run.CancelReason is { } reason)
            yield return (null, "the reason of the cancellation", reason);
        foreach (var @event in run.Events.OrderBy(e => e.Sequence))
            yield return (null, $"event {@event.Sequence}", @event.Data);
        foreach (var lines in run.Log.OrderBy(l => l.Step).ThenBy(l => l.Last))
            yield return (lines.Step, $"log lines to {lines.Last}", lines.Text);
        foreach (var step in run.Steps.OrderBy(s => s.Position))
        {
            foreach (var failure in step.Attempts.Select(a => a.Failure).Append(step.Failure))
            {
                if (failure is not null)
                    yield return (step.Position, "a failure", failure.Message);
            }
        }
    }

    private static InvariantViolation Violation(PipelineRun run, int? step, string message) =>
        new(Invariants.TenantsAreApart, message) { Run = run.CorrelationId, Step = step };

    [GeneratedRegex("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")]
    private static partial Regex Ids();
}
