using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestration.Testing;

/// <summary>What the rows of one run say by themselves: I1, I2, I3 and I5.</summary>
internal static class RunRules
{
    private static readonly string[] Active = [AttemptStates.Offered, AttemptStates.Running];
    private static readonly string[] Ended = [StepStates.Succeeded, StepStates.Failed, StepStates.Cancelled, StepStates.Skipped];

    public static IEnumerable<InvariantViolation> Check(PipelineRun run)
    {
        var terminal = RunStates.IsTerminal(run.PublicState);
        if (terminal != run.EndedAt is not null)
            yield return Violation(Invariants.EndsOnce, run, $"the run is {run.PublicState} and {(run.EndedAt is null ? "has not ended" : $"ended at {run.EndedAt:O}")}");
        if (run.PublicState == RunStates.Failed != run.Failure is not null)
            yield return Violation(Invariants.EndsOnce, run, $"the run is {run.PublicState} and has {(run.Failure is null ? "no failure" : $"the failure {run.Failure.Code}")}");
        foreach (var step in run.Steps.OrderBy(s => s.Position))
        {
            foreach (var violation in Check(run, step, terminal))
                yield return violation;
        }
        var fences = run.Steps.SelectMany(s => s.Attempts).Select(a => a.Fence).Order().ToArray();
        if (!fences.SequenceEqual(Enumerable.Range(1, fences.Length).Select(i => (long)i)) || run.Fence != fences.Length)
            yield return Violation(Invariants.FencesIncrease, run, $"the attempts have the fences {string.Join(", ", fences)} and the newest is said to be {run.Fence}; expected 1 to {fences.Length}");
    }

    private static IEnumerable<InvariantViolation> Check(PipelineRun run, RunStep step, bool terminal)
    {
        var attempts = step.Attempts.OrderBy(a => a.Number).ToArray();
        foreach (var (before, after) in attempts.Zip(attempts.Skip(1)))
        {
            if (after.Fence <= before.Fence)
                yield return Violation(Invariants.FencesIncrease, run, step, after, $"attempt {after.Number} has a fence no greater than the {before.Fence} of attempt {before.Number}");
        }

        var winners = attempts.Where(a => a.State == AttemptStates.Succeeded).ToArray();
        var expected = step is { State: StepStates.Succeeded, Cached: false } ? 1 : 0;
        if (winners.Length != expected)
            yield return Violation(Invariants.OneWinner, run, step, winners.LastOrDefault(), $"the step is {step.State}{(step.Cached ? " from the cache" : "")} and {winners.Length} of its attempts succeeded; expected {expected}");
        foreach (var winner in winners.Where(w => attempts.Any(a => a.Fence > w.Fence)))
            yield return Violation(Invariants.FencesIncrease, run, step, winner, $"an attempt won that was not the newest: fence {attempts.Max(a => a.Fence)} is");

        var active = attempts.Where(a => Active.Contains(a.State)).ToArray();
        if (active.Length > 1)
            yield return Violation(Invariants.OneWinner, run, step, active[^1], $"{active.Length} attempts of the step are active at once");
        // A step that says somebody works on it while nobody does would wait for ever, and an attempt of no step would hold its slot for ever.
        if (!(active is [var only] ? only.State == step.State : step.State is not (StepStates.Offered or StepStates.Running)))
            yield return Violation(Invariants.NothingHeld, run, step, active.LastOrDefault(), $"the step is {step.State} and its active attempts are [{string.Join(", ", active.Select(a => a.State))}]");
        foreach (var attempt in attempts)
        {
            if (Active.Contains(attempt.State) != attempt.EndedAt is null)
                yield return Violation(Invariants.NothingHeld, run, step, attempt, $"the attempt is {attempt.State} and {(attempt.EndedAt is null ? "has not ended" : "has ended")}");
        }

        if (!terminal)
            yield break;
        foreach (var attempt in active)
            yield return Violation(Invariants.NothingHeld, run, step, attempt, $"the run is {run.PublicState} and the attempt still holds {(attempt.State == AttemptStates.Running ? "a lease" : "a slot")}");
        var fits = run.PublicState == RunStates.Succeeded
            ? step.State == StepStates.Succeeded || (step is { State: StepStates.Skipped, EvaluatesAfter: not null })
            : Ended.Contains(step.State);
        if (!fits)
            yield return Violation(Invariants.EndsOnce, run, step, null, $"the run is {run.PublicState} and the step is {step.State}");
    }

    private static InvariantViolation Violation(string rule, PipelineRun run, string message) => new(rule, message) { Run = run.CorrelationId };

    private static InvariantViolation Violation(string rule, PipelineRun run, RunStep step, StepAttempt? attempt, string message) =>
        new(rule, message) { Run = run.CorrelationId, Step = step.Position, Fence = attempt?.Fence };
}
