using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestration.Testing;

/// <summary>I4: the rows are what the events fold to.</summary>
internal static class FoldRules
{
    public static IEnumerable<InvariantViolation> Check(PipelineRun run, RunFold fold)
    {
        // What runs when the end is asked for stops attempt by attempt, and the log tells of all of them at the end.
        var cancelling = run.PublicState == RunStates.Cancelling;
        if (run.PublicState != fold.State)
            yield return Differs(run, "state", run.PublicState, fold.State);
        if (run.Resumptions != fold.Resumptions)
            yield return Differs(run, "number of resumptions", run.Resumptions, fold.Resumptions);
        if (run.StartedAt != fold.StartedAt)
            yield return Differs(run, "start", run.StartedAt, fold.StartedAt);
        if (run.EndedAt != fold.EndedAt)
            yield return Differs(run, "end", run.EndedAt, fold.EndedAt);
        if (run.Failure != fold.Failure)
            yield return Differs(run, "failure", run.Failure, fold.Failure);
        foreach (var step in run.Steps.OrderBy(s => s.Position))
        {
            foreach (var violation in Check(run, step, fold.Steps[step.Position], cancelling))
                yield return violation;
        }
    }

    private static IEnumerable<InvariantViolation> Check(PipelineRun run, RunStep step, FoldedStep folded, bool cancelling)
    {
        if (step.State != folded.State && !(cancelling && step.State == StepStates.Cancelled && !folded.HasEnded))
            yield return Differs(run, "state", step.State, folded.State, step);
        if (step.Cached != folded.Cached)
            yield return Differs(run, "use of the cache", step.Cached, folded.Cached, step);
        if (step.Progress != folded.Progress || step.Activity != folded.Activity)
            yield return Differs(run, "progress", (step.Progress, step.Activity), (folded.Progress, folded.Activity), step);
        if (!step.Outputs.SequenceEqual(folded.Outputs))
            yield return Differs(run, "output", Text(step.Outputs), Text(folded.Outputs), step);
        if (step.Report != folded.Report)
            yield return Differs(run, "report", step.Report, folded.Report, step);
        if (!step.Metrics.OrderBy(m => m.Key, StringComparer.Ordinal).SequenceEqual(folded.Metrics.OrderBy(m => m.Key, StringComparer.Ordinal)))
            yield return Differs(run, "metrics", Text(step.Metrics), Text(folded.Metrics), step);
        if (step.Failure != folded.Failure)
            yield return Differs(run, "failure", step.Failure, folded.Failure, step);
        var attempts = step.Attempts.OrderBy(a => a.Number).ToArray();
        if (!attempts.Select(a => (a.Number, a.Fence)).SequenceEqual(folded.Attempts.Select(a => (a.Number, a.Fence))))
        {
            yield return Differs(run, "attempts", string.Join(' ', attempts.Select(a => (a.Number, a.Fence))), string.Join(' ', folded.Attempts.Select(a => (a.Number, a.Fence))), step);
            yield break;
        }
        foreach (var (attempt, told) in attempts.Zip(folded.Attempts))
        {
            var stopped = told.State == FoldedAttempt.Stopped || (cancelling && told.State is AttemptStates.Offered or AttemptStates.Running);
            var same = attempt.State == told.State && attempt.EndedAt == told.EndedAt;
            if (!same && !(stopped && attempt.State is AttemptStates.Cancelled or AttemptStates.Lost))
                yield return Differs(run, "attempt", (attempt.State, attempt.EndedAt), (told.State, told.EndedAt), step, attempt);
            if ((attempt.OfferedAt, attempt.StartedAt, attempt.Worker) != (told.OfferedAt, told.StartedAt, told.Worker))
                yield return Differs(run, "attempt", (attempt.OfferedAt, attempt.StartedAt, attempt.Worker), (told.OfferedAt, told.StartedAt, told.Worker), step, attempt);
            if (attempt.Failure != told.Failure)
                yield return Differs(run, "failure", attempt.Failure, told.Failure, step, attempt);
        }
    }

    private static InvariantViolation Differs(PipelineRun run, string what, object? stored, object? folded, RunStep? step = null, StepAttempt? attempt = null) =>
        new(Invariants.EventsFold, $"the {what} is stored as {stored ?? "none"}; its events fold to {folded ?? "none"}")
        {
            Run = run.CorrelationId,
            Step = step?.Position,
            Fence = attempt?.Fence,
        };

    private static string Text<T>(T value) => JsonSerializer.Serialize(value, ContractJson.Options);
}
