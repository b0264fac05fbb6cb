using System.Text.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestration.Testing;

/// <summary>A run as somebody knows it who has its submission and its events, and nothing else.</summary>
internal sealed class RunFold
{
    /// <summary>Databases keep times to the microsecond.</summary>
    private static readonly TimeSpan ColumnPrecision = TimeSpan.FromMicroseconds(1);

    private readonly PipelineRun _run;
    private readonly List<InvariantViolation> _violations = [];
    private long _fence;
    private long _sequence;
    private (int Step, double Progress, string? Activity)? _lostLast;
    private string? _ended;

    private RunFold(PipelineRun run)
    {
        _run = run;
        Steps = run.Steps.ToDictionary(s => s.Position, s => new FoldedStep { EvaluatesAfter = s.EvaluatesAfter });
    }

    public string State { get; private set; } = "";

    public DateTimeOffset? StartedAt { get; private set; }

    public DateTimeOffset? EndedAt { get; private set; }

    public Failure? Failure { get; private set; }

    public int Resumptions { get; private set; }

    public IReadOnlyDictionary<int, FoldedStep> Steps { get; }

    /// <summary>What is wrong with the log itself.</summary>
    public IReadOnlyList<InvariantViolation> Violations => _violations;

    public static RunFold Of(PipelineRun run)
    {
        var fold = new RunFold(run);
        foreach (var @event in run.Events.OrderBy(e => e.Sequence))
            fold.Apply(@event);
        if (fold._sequence != run.Sequence)
            fold.Broken(Invariants.EventsFold, $"the newest event is {fold._sequence} and the run says {run.Sequence}");
        return fold;
    }

    private void Apply(RunEvent entry)
    {
        if (entry.Sequence != _sequence + 1)
            Broken(Invariants.EventsFold, $"event {entry.Sequence} ({entry.Type}) follows event {_sequence}");
        _sequence = entry.Sequence;
        // An end is the last there is, or the run is resumed after it.
        if (_ended is not null && entry.Type is not "io.tinymlaas.run.resumed.v1")
            Broken(Invariants.EndsOnce, $"event {entry.Sequence} ({entry.Type}) comes after {_ended}");
        if (State.Length == 0 != entry.Type is "io.tinymlaas.run.accepted.v1")
            Broken(Invariants.EventsFold, $"event {entry.Sequence} is {entry.Type}; a log begins with run.accepted and has it once");
        using var data = JsonDocument.Parse(entry.Data);
        if (data.RootElement.GetProperty("runId").GetGuid() != _run.CorrelationId
            || data.RootElement.GetProperty("sequence").GetInt64() != entry.Sequence
            || (data.RootElement.GetProperty("at").GetDateTimeOffset() - entry.At).Duration() > ColumnPrecision)
            Broken(Invariants.EventsFold, $"event {entry.Sequence} ({entry.Type}) says of itself {entry.Data}");
        var lostLast = _lostLast;
        _lostLast = null;
        switch (entry.Type)
        {
            case "io.tinymlaas.run.accepted.v1":
                State = RunStates.Accepted;
                break;
            case "io.tinymlaas.run.started.v1":
                if (State != RunStates.Accepted)
                    Broken(Invariants.EventsFold, $"event {entry.Sequence} starts a run that is {State}");
                State = RunStates.Running;
                StartedAt = entry.At;
                break;
            case "io.tinymlaas.run.succeeded.v1":
                End(entry, RunStates.Succeeded);
                break;
            case "io.tinymlaas.run.failed.v1":
                Fail(entry, Read<RunFailed>(entry), lostLast);
                break;
            case "io.tinymlaas.run.cancelled.v1":
                Cancel(entry);
                break;
            case "io.tinymlaas.run.cancelling.v1":
                BeginCancel(entry);
                break;
            case "io.tinymlaas.run.resumed.v1":
                Resume(entry, Read<RunResumed>(entry));
                break;
            case "io.tinymlaas.step.offered.v1":
                Offer(entry, Read<StepOffered>(entry));
                break;
            case "io.tinymlaas.step.started.v1":
                Start(entry, Read<StepStarted>(entry));
                break;
            case "io.tinymlaas.step.progressed.v1":
                Progress(entry, Read<StepProgressed>(entry));
                break;
            case "io.tinymlaas.step.succeeded.v1":
                Succeed(entry, Read<StepSucceeded>(entry));
                break;
            case "io.tinymlaas.step.failed.v1":
                Fail(entry, Read<StepFailed>(entry));
                break;
            case "io.tinymlaas.step.lost.v1":
                Lose(entry, Read<StepLost>(entry));
                break;
            case "io.tinymlaas.step.cached.v1":
                Cache(entry, Read<StepCached>(entry));
                break;
            case "io.tinymlaas.artifact.stored.v1":
                Store(entry, Read<ArtifactStored>(entry));
                break;
            default:
                Broken(Invariants.EventsFold, $"event {entry.Sequence} is a {entry.Type}, which is unknown here");
                break;
        }
    }

    private void Offer(RunEvent entry, StepOffered offered)
    {
        if (offered.Fence != _fence + 1)
            Broken(Invariants.FencesIncrease, $"event {entry.Sequence} offers under fence {offered.Fence}; the newest was {_fence}", offered.Step, offered.Fence);
        _fence = offered.Fence;
        if (Find(entry, offered.Step) is not { } step)
            return;
        if (step.State != StepStates.Pending)
            Broken(Invariants.OneWinner, $"event {entry.Sequence} offers a step that is {step.State}", offered.Step, offered.Fence);
        step.Attempts.Add(new FoldedAttempt { Number = offered.Attempt, Fence = offered.Fence, OfferedAt = entry.At });
        step.Reset(StepStates.Offered);
    }

    private void Start(RunEvent entry, StepStarted started)
    {
        if (Newest(entry, started.Step, started.Fence, AttemptStates.Offered) is not ({ } step, { } attempt))
            return;
        attempt.State = AttemptStates.Running;
        attempt.Worker = started.Worker;
        attempt.StartedAt = entry.At;
        step.State = StepStates.Running;
    }

    private void Progress(RunEvent entry, StepProgressed progressed)
    {
        if (Newest(entry, progressed.Step, progressed.Fence, AttemptStates.Running) is not ({ } step, _))
            return;
        step.Progress = progressed.Progress;
        step.Activity = progressed.Activity;
    }

    private void Succeed(RunEvent entry, StepSucceeded succeeded)
    {
        if (Find(entry, succeeded.Step) is { State: StepStates.Succeeded })
            Broken(Invariants.OneWinner, $"event {entry.Sequence} commits a step that was committed before", succeeded.Step, succeeded.Fence);
        if (Newest(entry, succeeded.Step, succeeded.Fence, AttemptStates.Running) is not ({ } step, { } attempt))
            return;
        attempt.End(AttemptStates.Succeeded, entry.At);
        step.Succeed(succeeded.Outputs, succeeded.Report, succeeded.Metrics);
        SkipWhatCannotBeMeasured(succeeded.Step, succeeded.Outputs);
    }

    // It tells once more, by itself, what the step's success has told.
    private void Store(RunEvent entry, ArtifactStored stored)
    {
        if (Find(entry, stored.Step) is { } step && (step.State != StepStates.Succeeded || step.Cached || !step.Outputs.Contains(stored.Artifact)))
            Broken(Invariants.EventsFold, $"event {entry.Sequence} stores {stored.Artifact.Digest}, which no attempt at its step has made", stored.Step);
    }

    private void Cache(RunEvent entry, StepCached cached)
    {
        if (Find(entry, cached.Step) is not { } step)
            return;
        if (step.State != StepStates.Pending)
            Broken(Invariants.OneWinner, $"event {entry.Sequence} takes a step from the cache that is {step.State}", cached.Step);
        step.Cached = true;
        step.Succeed(cached.Outputs, cached.Report, cached.Metrics);
        SkipWhatCannotBeMeasured(cached.Step, cached.Outputs);
    }

    private void Fail(RunEvent entry, StepFailed failed)
    {
        if (failed.Fence == 0)
        {
            // It failed while it waited for a worker.
            if (Find(entry, failed.Step) is not { } waiting)
                return;
            if (waiting.State != StepStates.Pending || failed.WillRetry)
                Broken(Invariants.EventsFold, $"event {entry.Sequence} fails a step without an attempt that is {waiting.State}", failed.Step);
            waiting.State = StepStates.Failed;
            waiting.Failure = failed.Failure;
            return;
        }
        if (Newest(entry, failed.Step, failed.Fence, AttemptStates.Running) is not ({ } step, { } attempt))
            return;
        attempt.End(AttemptStates.Failed, entry.At);
        attempt.Failure = failed.Failure;
        if (failed.WillRetry)
        {
            step.Reset(StepStates.Pending);
            return;
        }
        step.State = StepStates.Failed;
        step.Failure = failed.Failure;
    }

    private void Lose(RunEvent entry, StepLost lost)
    {
        if (Newest(entry, lost.Step, lost.Fence, AttemptStates.Offered, AttemptStates.Running) is not ({ } step, { } attempt))
            return;
        attempt.End(AttemptStates.Lost, entry.At);
        _lostLast = (lost.Step, step.Progress, step.Activity);
        step.Reset(StepStates.Pending);
    }

    private void Fail(RunEvent entry, RunFailed failed, (int Step, double Progress, string? Activity)? lostLast)
    {
        // Losses that use a step's attempts up have no step.failed: the run's failure says it, with the loss right before.
        if (failed.Failure.Code != "total-timeout" && !Steps.Values.Any(s => s.State == StepStates.Failed))
        {
            if (lostLast is { } lost && (failed.Step is null ? Steps[lost.Step].EvaluatesAfter is not null : failed.Step == lost.Step))
            {
                var step = Steps[lost.Step];
                step.State = StepStates.Failed;
                step.Failure = failed.Failure;
                // It stays as far as it came: there is no other attempt that would begin again.
                (step.Progress, step.Activity) = (lost.Progress, lost.Activity);
            }
            else
            {
                Broken(Invariants.EventsFold, $"event {entry.Sequence} fails the run and no event says which step failed", failed.Step);
            }
        }
        foreach (var step in Steps.Values.Where(s => !s.HasEnded))
        {
            step.State = step.Active is null ? StepStates.Skipped : StepStates.Cancelled;
            step.Active?.End(AttemptStates.Cancelled, entry.At);
        }
        Failure = failed.Failure;
        End(entry, RunStates.Failed);
    }

    private void BeginCancel(RunEvent entry)
    {
        if (State is not (RunStates.Accepted or RunStates.Running))
            Broken(Invariants.EndsOnce, $"event {entry.Sequence} asks for the end of a run that is {State}");
        State = RunStates.Cancelling;
        foreach (var step in Steps.Values.Where(s => !s.HasEnded && s.Active?.State != AttemptStates.Running))
        {
            step.State = StepStates.Cancelled;
            step.Active?.End(AttemptStates.Cancelled, entry.At);
        }
    }

    private void Resume(RunEvent entry, RunResumed resumed)
    {
        if (State is not (RunStates.Failed or RunStates.Cancelled))
            Broken(Invariants.EndsOnce, $"event {entry.Sequence} resumes a run that is {State}");
        if (resumed.Resumption != ++Resumptions)
            Broken(Invariants.EventsFold, $"event {entry.Sequence} is resumption {resumed.Resumption}; expected {Resumptions}");
        var again = Steps.Where(s => s.Value.State != StepStates.Succeeded).ToArray();
        if (resumed.Step != again.Where(s => s.Value.EvaluatesAfter is null).Select(s => (int?)s.Key).Min())
            Broken(Invariants.EventsFold, $"event {entry.Sequence} resumes at a step that is not the first without a result", resumed.Step);
        foreach (var (_, step) in again)
        {
            step.Reset(StepStates.Pending);
            step.Failure = null;
        }
        foreach (var (position, step) in Steps.Where(s => s.Value.State == StepStates.Succeeded))
            SkipWhatCannotBeMeasured(position, step.Outputs);
        State = StartedAt is null ? RunStates.Accepted : RunStates.Running;
        EndedAt = null;
        Failure = null;
        _ended = null;
    }

    private void Cancel(RunEvent entry)
    {
        if (State != RunStates.Cancelling)
            Broken(Invariants.EndsOnce, $"event {entry.Sequence} cancels a run that is {State}, and no event before asked for it");
        foreach (var step in Steps.Values.Where(s => !s.HasEnded))
        {
            // When each of them ended, and whether it was told or lost, the log does not say.
            step.State = StepStates.Cancelled;
            step.Active?.End(FoldedAttempt.Stopped, null);
        }
        End(entry, RunStates.Cancelled);
    }

    private void End(RunEvent entry, string state)
    {
        State = state;
        EndedAt = entry.At;
        _ended ??= $"event {entry.Sequence} ({entry.Type})";
    }

    private void SkipWhatCannotBeMeasured(int position, IReadOnlyList<ArtifactRef> outputs)
    {
        if (outputs is [{ Kind: not ArtifactKinds.Onnx }, ..] && Steps.Values.SingleOrDefault(s => s.EvaluatesAfter == position) is { State: StepStates.Pending } evaluation)
            evaluation.State = StepStates.Skipped;
    }

    private FoldedStep? Find(RunEvent entry, int position)
    {
        if (Steps.TryGetValue(position, out var step))
            return step;
        Broken(Invariants.EventsFold, $"event {entry.Sequence} ({entry.Type}) is about a step that the run does not have", position);
        return null;
    }

    /// <summary>The step's newest attempt, where that is the one with this fence and in one of these states.</summary>
    private (FoldedStep, FoldedAttempt)? Newest(RunEvent entry, int position, long fence, params string[] states)
    {
        if (Find(entry, position) is not { } step)
            return null;
        if (step.Attempts is not [.., var newest] || newest.Fence != fence)
        {
            Broken(Invariants.FencesIncrease, $"event {entry.Sequence} ({entry.Type}) is about fence {fence}; the step's newest is {(step.Attempts is [.., var other] ? other.Fence : 0)}", position, fence);
            return null;
        }
        if (states.Contains(newest.State))
            return (step, newest);
        Broken(Invariants.FencesIncrease, $"event {entry.Sequence} ({entry.Type}) is about an attempt that is {newest.State}", position, fence);
        return null;
    }

    private void Broken(string rule, string message, int? step = null, long? fence = null) =>
        _violations.Add(new InvariantViolation(rule, message) { Run = _run.CorrelationId, Step = step, Fence = fence });

    private static T Read<T>(RunEvent entry) => JsonSerializer.Deserialize<T>(entry.Data, ContractJson.Options)!;
}

/// <summary>A step as the events tell it.</summary>
internal sealed class FoldedStep
{
    public required int? EvaluatesAfter { get; init; }

    public string State { get; set; } = StepStates.Pending;

    public bool Cached { get; set; }

    public double Progress { get; set; }

    public string? Activity { get; set; }

    public IReadOnlyList<ArtifactRef> Outputs { get; private set; } = [];

    public ArtifactRef? Report { get; private set; }

    public IReadOnlyDictionary<string, double> Metrics { get; private set; } = new Dictionary<string, double>();

    public Failure? Failure { get; set; }

    public List<FoldedAttempt> Attempts { get; } = [];

    public bool HasEnded => State is StepStates.Succeeded or StepStates.Failed or StepStates.Cancelled or StepStates.Skipped;

    public FoldedAttempt? Active => Attempts is [.., { State: AttemptStates.Offered or AttemptStates.Running } active] ? active : null;

    public void Reset(string state)
    {
        State = state;
        Progress = 0;
        Activity = null;
    }

    public void Succeed(IReadOnlyList<ArtifactRef> outputs, ArtifactRef report, IReadOnlyDictionary<string, double> metrics)
    {
        State = StepStates.Succeeded;
        Progress = 1;
        Activity = null;
        Outputs = outputs;
        Report = report;
        Metrics = metrics;
    }
}

/// <summary>An attempt as the events tell it.</summary>
internal sealed class FoldedAttempt
{
    /// <summary>Ended by a cancellation: on request or by losing its lease, and when is not told.</summary>
    public const string Stopped = "stopped";

    public required int Number { get; init; }

    public required long Fence { get; init; }

    public required DateTimeOffset OfferedAt { get; init; }

    public string State { get; set; } = AttemptStates.Offered;

    public string? Worker { get; set; }

    public DateTimeOffset? StartedAt { get; set; }

    public DateTimeOffset? EndedAt { get; private set; }

    public Failure? Failure { get; set; }

    public void End(string state, DateTimeOffset? at)
    {
        State = state;
        EndedAt = at;
    }
}
