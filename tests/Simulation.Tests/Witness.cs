using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestration.Testing;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>What workers and clients were told, held against what the rows say in the end: nothing that was promised may turn out otherwise.</summary>
internal sealed class Witness
{
    private readonly Dictionary<(Guid Run, long Fence), string> _granted = [];
    private readonly Dictionary<(Guid Run, int Step), (long Fence, ArtifactRef Report)> _committed = [];
    private readonly Dictionary<(Guid Run, long Fence), ArtifactRef> _reports = [];
    private readonly Dictionary<Guid, string> _cancelAnswers = [];
    private readonly Dictionary<Guid, (string State, long Sequence)> _seen = [];
    private readonly List<InvariantViolation> _violations = [];

    public IReadOnlyList<InvariantViolation> Violations => _violations;

    public void Broken(InvariantViolation violation) => _violations.Add(violation);

    /// <summary>A worker was granted the lease of an attempt.</summary>
    public void Granted(Guid run, int step, long fence, string worker)
    {
        if (!_granted.TryAdd((run, fence), worker) && _granted[(run, fence)] != worker)
            Broken(new InvariantViolation(Invariants.OneWinner, $"the lease of {_granted[(run, fence)]} was granted to {worker} too") { Run = run, Step = step, Fence = fence });
    }

    /// <summary>A worker made the result of an attempt.</summary>
    public void Made(Guid run, long fence, ArtifactRef report) => _reports[(run, fence)] = report;

    /// <summary>A worker was told that its result is the step's.</summary>
    public void Committed(Guid run, int step, long fence, ArtifactRef report)
    {
        if (!_committed.TryAdd((run, step), (fence, report)) && _committed[(run, step)].Fence != fence)
            Broken(new InvariantViolation(Invariants.OneWinner, $"the result of fence {_committed[(run, step)].Fence} was committed, and this one too") { Run = run, Step = step, Fence = fence });
    }

    /// <summary>A client was told what became of its wish to end a run.</summary>
    public void Cancelled(Guid run, string state) => _cancelAnswers.TryAdd(run, state);

    /// <summary>The rows, as they are after a message about the run.</summary>
    public void Saw(Guid run, string state, long sequence, bool mayResume)
    {
        if (_seen.TryGetValue(run, out var before))
        {
            if (RunStates.IsTerminal(before.State) && (state, sequence) != before && !(mayResume && before.State != RunStates.Succeeded))
                Broken(new InvariantViolation(Invariants.EndsOnce, $"the run was {before.State} at event {before.Sequence} and is {state} at event {sequence}") { Run = run });
            if (sequence < before.Sequence)
                Broken(new InvariantViolation(Invariants.EventsFold, $"the newest event was {before.Sequence} and is {sequence}") { Run = run });
        }
        _seen[run] = (state, sequence);
    }

    public IEnumerable<InvariantViolation> Check(IEnumerable<PipelineRun> runs)
    {
        foreach (var run in runs)
        {
            // The documented winner: a cancellation that was accepted has won, and one that came after the end changes nothing.
            // Of a run that was resumed the events tell which came first.
            if (run.Resumptions == 0 && _cancelAnswers.TryGetValue(run.CorrelationId, out var told) && (told == RunStates.Cancelling ? RunStates.Cancelled : told) != run.PublicState)
                yield return new InvariantViolation(Invariants.EndsOnce, $"the owner was told '{told}' when asking for the end; the run is {run.PublicState}") { Run = run.CorrelationId };
            foreach (var step in run.Steps.OrderBy(s => s.Position))
            {
                var winner = step.Attempts.SingleOrDefault(a => a.State == AttemptStates.Succeeded);
                if (_committed.TryGetValue((run.CorrelationId, step.Position), out var promised) && winner?.Fence != promised.Fence)
                    yield return new InvariantViolation(Invariants.OneWinner, $"a worker was told that its result is committed; {(winner is null ? "none is" : $"that of fence {winner.Fence} is")}") { Run = run.CorrelationId, Step = step.Position, Fence = promised.Fence };
                if (winner is not null && _reports.GetValueOrDefault((run.CorrelationId, winner.Fence)) != step.Report)
                    yield return new InvariantViolation(Invariants.FencesIncrease, "the step has the result of another attempt than the one that won") { Run = run.CorrelationId, Step = step.Position, Fence = winner.Fence };
            }
        }
    }
}
