using System.Text.Json;
using MassTransit;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.Contracts.Events;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Caching;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>
/// A run: the saga instance with its steps and their attempts. Every method keeps the invariants by itself, whatever order messages come in:
/// a message that is late, repeated or carries a stale fence changes nothing and gets a definite answer. Each change appends to the event
/// log, and <see cref="Outgoing"/> collects what is to be told once the change is committed.
/// </summary>
internal sealed class PipelineRun : SagaStateMachineInstance, ISagaVersion
{
    /// <summary>The transformer that measures networks.</summary>
    public const string Evaluator = "compiler/evaluate";

    /// <summary>What is kept of one step's log, over all attempts.</summary>
    public const int LogLimitBytes = 256 * 1024;

    /// <summary>Code of an attempt whose lease ran out.</summary>
    public const string HeartbeatTimeout = "heartbeat-timeout";

    /// <summary>A request that is repeated comes soon; a run that is resumed for ever must not grow for ever.</summary>
    private const int ResumeKeysKept = 32;

    public Guid CorrelationId { get; set; }

    public int Version { get; set; }

    /// <summary>Name of the state machine's state; in lower case, one of <see cref="RunStates"/>.</summary>
    public string CurrentState { get; set; } = null!;

    public string Tenant { get; init; } = null!;

    /// <summary>The command as it came: a run looks nothing up later.</summary>
    public SubmitRun Submission { get; init; } = null!;

    public int Priority { get; init; }

    public DateTimeOffset AcceptedAt { get; init; }

    public DateTimeOffset? StartedAt { get; set; }

    public DateTimeOffset? EndedAt { get; set; }

    /// <summary>When the time of the whole run is over; null when it has ended or is ending.</summary>
    public DateTimeOffset? LimitAt { get; private set; }

    public Failure? Failure { get; set; }

    /// <summary>The document's step that failed for good.</summary>
    public int? FailedStep { get; set; }

    public string? CancelReason { get; set; }

    /// <summary>How often it was taken up again after its end.</summary>
    public int Resumptions { get; private set; }

    /// <summary>The keys of the newest requests that took it up again.</summary>
    public IReadOnlyList<string> ResumeKeys { get; private set; } = [];

    /// <summary>Sequence of the newest event.</summary>
    public long Sequence { get; set; }

    /// <summary>Fence of the newest attempt.</summary>
    public long Fence { get; set; }

    public List<RunStep> Steps { get; } = [];

    /// <summary>Appended to and never loaded with the run.</summary>
    public List<RunEvent> Events { get; } = [];

    /// <summary>Appended to and never loaded with the run.</summary>
    public List<StepLogLines> Log { get; } = [];

    /// <summary>Messages that the changes made since the run was loaded ask for, in order. Events are none of them: whoever wants those reads the log.</summary>
    public List<Outgoing> Outgoing { get; } = [];

    public static PipelineRun From(SubmitRun command) => new()
    {
        CorrelationId = command.RunId,
        Tenant = command.Tenant,
        Submission = command,
        Priority = command.Priority,
        AcceptedAt = command.AcceptedAt,
    };

    public bool IsTerminal => RunStates.IsTerminal(PublicState);

    /// <summary>True while steps may be offered.</summary>
    public bool IsActive => CurrentState is nameof(PipelineRunStateMachine.Accepted) or nameof(PipelineRunStateMachine.Running);

    public string PublicState => CurrentState.ToLowerInvariant();

    private int Count => Submission.Pipeline.Steps.Count;

    /// <summary>True once nothing is left to do and nothing failed.</summary>
    public bool IsComplete => Steps.All(s => s.State is StepStates.Succeeded or StepStates.Skipped);

    /// <summary>True once a step failed for good or the time of the run was over.</summary>
    public bool HasFailed => Failure is not null;

    public bool HasActiveAttempt => Steps.Any(s => s.Active is not null);

    public RunStep? Step(int position) => Steps.SingleOrDefault(s => s.Position == position);

    /// <summary>Lays out the steps and the evaluations.</summary>
    public void Accept(DateTimeOffset now, OrchestratorOptions options)
    {
        LimitAt = now + StepPolicy.TotalOf(this, options);
        var datasets = Submission.Datasets.ToDictionary(d => d.Name, StringComparer.Ordinal);
        for (var i = 0; i < Count; i++)
        {
            var (step, resolved) = (Submission.Pipeline.Steps[i], Submission.Steps[i]);
            Steps.Add(new RunStep
            {
                RunId = CorrelationId,
                Position = i + 1,
                Uses = step.Uses,
                Version = resolved.Version,
                Worker = resolved.Worker,
                With = step.With,
                Datasets = step.Datasets.ToDictionary(d => d.Key, d => datasets[d.Value]),
                State = StepStates.Pending,
            });
        }
        if (Submission.Pipeline.Evaluate is { } evaluate)
        {
            for (var after = 0; after <= Count; after++)
            {
                if ((after == 0 ? Submission.Model.Kind : Submission.Steps[after - 1].Produces) != ArtifactKinds.Onnx)
                    continue;
                Steps.Add(new RunStep
                {
                    RunId = CorrelationId,
                    Position = Count + 1 + after,
                    EvaluatesAfter = after,
                    Uses = Evaluator,
                    Worker = Evaluator[..Evaluator.IndexOf('/')],
                    With = JsonSerializer.SerializeToElement(new Dictionary<string, string> { ["metric"] = evaluate.Metric }),
                    Datasets = new Dictionary<string, DatasetRef> { [DatasetRoles.Evaluate] = datasets[evaluate.Dataset] },
                    State = StepStates.Pending,
                });
            }
        }
        Record("run.accepted", now, sequence => new RunAccepted { Tenant = Tenant, RunId = CorrelationId, Sequence = sequence, At = now });
        MarkReady(now, options);
    }

    /// <summary>Steps that wait for nothing but a worker.</summary>
    public IEnumerable<RunStep> Waiting => Steps.Where(s => s.State == StepStates.Pending && s.ReadyAt is not null).OrderBy(s => s.Position);

    /// <summary>What a worker would be offered for a step whose input is there.</summary>
    public StepOffer DescribeOffer(RunStep step, string version, int attempt = 0, long fence = 0, DateTimeOffset expires = default, TimeSpan? claimWithin = null) => new()
    {
        Tenant = Tenant,
        RunId = CorrelationId,
        Step = step.Position,
        Attempt = attempt,
        Fence = fence,
        Uses = step.Uses,
        Version = version,
        Input = InputOf(step)!,
        With = step.With,
        Datasets = step.Datasets,
        Seed = Submission.Seed,
        Recipe = RecipeBefore(step),
        TraceParent = Submission.TraceParent,
        ExpiresAt = expires,
        ClaimWithin = claimWithin,
    };

    /// <summary>Writes an attempt down and offers it to a pool.</summary>
    public bool Offer(OfferStep message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (Step(message.Step) is not { State: StepStates.Pending, ReadyAt: not null } step || step.NotBefore > now)
            return false;
        if (step.IsEvaluation)
            step.Version = message.Version;
        var attempt = new StepAttempt
        {
            RunId = CorrelationId,
            Step = step.Position,
            Number = step.Attempts.Count + 1,
            Fence = ++Fence,
            State = AttemptStates.Offered,
            OfferedAt = now,
            DueAt = now + options.OfferFor,
        };
        step.Attempts.Add(attempt);
        step.State = StepStates.Offered;
        step.Progress = 0;
        step.Activity = null;
        Outgoing.Add(new Outgoing(DescribeOffer(step, step.Version!, attempt.Number, attempt.Fence, attempt.DueAt, options.OfferFor), message.Queue));
        Record("step.offered", now, sequence => new StepOffered
        {
            Tenant = Tenant, RunId = CorrelationId, Step = step.Position, Attempt = attempt.Number, Fence = attempt.Fence, Sequence = sequence, At = now,
            Queue = message.Queue,
        });
        return true;
    }

    /// <summary>Leases an offered attempt; <see cref="AttemptGranted"/> or <see cref="AttemptRefused"/>.</summary>
    public object Claim(ClaimAttempt message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (Find(message.Step, message.Fence) is not ({ } step, { } attempt))
            return StaleFence(message.Fence);
        var policy = StepPolicy.Of(this, step, options);
        var granted = new AttemptGranted
        {
            Fence = attempt.Fence,
            Lease = policy.Lease,
            HeartbeatEvery = policy.HeartbeatEvery,
            Limit = policy.Attempt,
            Waits = policy.OnLeaseLost == LeaseLossPolicies.Wait,
        };
        // The answer to the first claim may have been lost: the same worker asks again and gets the same answer.
        if (attempt.State == AttemptStates.Running && attempt.Worker == message.Worker)
            return granted;
        if (attempt.State != AttemptStates.Offered)
            return Refused("not-offered", $"The attempt with fence {message.Fence} is {attempt.State}, not offered.");
        attempt.State = AttemptStates.Running;
        attempt.Worker = message.Worker;
        attempt.StartedAt = now;
        attempt.DueAt = now + policy.Lease;
        attempt.LimitAt = now + policy.Attempt;
        step.State = StepStates.Running;
        step.StartedAt = now;
        step.QueueLimitAt = null;
        step.Unclaimed = 0;
        if (StartedAt is null)
        {
            StartedAt = now;
            Record("run.started", now, sequence => new RunStarted { Tenant = Tenant, RunId = CorrelationId, Sequence = sequence, At = now });
        }
        Record("step.started", now, sequence => new StepStarted
        {
            Tenant = Tenant, RunId = CorrelationId, Step = step.Position, Attempt = attempt.Number, Fence = attempt.Fence, Sequence = sequence, At = now,
            Worker = message.Worker,
        });
        return granted;
    }

    /// <summary>Renews a lease and takes the news in.</summary>
    public HeartbeatReply Beat(Heartbeat message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (FindRunning(message.Step, message.Fence, message.Worker) is not ({ } step, { } attempt))
            return TakeLastWords(message);
        attempt.DueAt = now + StepPolicy.Of(this, step, options).Lease;
        AppendLog(step, attempt, message.Log, message.LogFrom);
        var progress = Math.Clamp(message.Progress, 0, 1);
        Progress(step, attempt, progress, message.Activity, message.Metrics, now);
        return new HeartbeatReply { Verdict = HeartbeatVerdicts.Continue };
    }

    /// <summary>The answer to a heartbeat once the end was asked for. The lease is not renewed: a worker that does not stop loses it.</summary>
    public HeartbeatReply BeatWhileCancelling(Heartbeat message)
    {
        if (FindRunning(message.Step, message.Fence, message.Worker) is not ({ } step, { } attempt))
            return TakeLastWords(message);
        AppendLog(step, attempt, message.Log, message.LogFrom);
        return new HeartbeatReply { Verdict = HeartbeatVerdicts.Cancel };
    }

    /// <summary>The answer to a heartbeat of an attempt that no longer runs. What its worker wrote until it heard that is kept, unless another attempt has followed.</summary>
    public HeartbeatReply TakeLastWords(Heartbeat message)
    {
        if (Find(message.Step, message.Fence) is ({ } step, { } attempt) && attempt.Worker == message.Worker)
            AppendLog(step, attempt, message.Log, message.LogFrom);
        return new HeartbeatReply { Verdict = HeartbeatVerdicts.Lost };
    }

    /// <summary>Makes the result of an attempt the result of its step; <see cref="AttemptCommitted"/> or <see cref="AttemptRefused"/>.</summary>
    public object Complete(CompleteAttempt message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (Find(message.Step, message.Fence) is not ({ } step, { } attempt))
            return StaleFence(message.Fence);
        if (attempt.State == AttemptStates.Succeeded && attempt.Worker == message.Worker)
            return new AttemptCommitted { Fence = attempt.Fence };
        if (attempt.State != AttemptStates.Running || attempt.Worker != message.Worker)
            return LeaseLost(attempt, message.Worker);
        if (!step.IsEvaluation && message.Outputs.Count == 0)
            return FailWithoutOutput(step, attempt, message, now);
        End(attempt, AttemptStates.Succeeded, now);
        AppendLog(step, attempt, message.Log, message.LogFrom);
        Succeed(step, message.Outputs, message.Report, message.Metrics, now);
        Record("step.succeeded", now, sequence => new StepSucceeded
        {
            Tenant = Tenant, RunId = CorrelationId, Step = step.Position, Attempt = attempt.Number, Fence = attempt.Fence, Sequence = sequence, At = now,
            Outputs = step.Outputs,
            Report = message.Report,
            Metrics = step.Metrics,
        });
        foreach (var output in step.Outputs)
        {
            Record("artifact.stored", now, sequence => new ArtifactStored
            {
                Tenant = Tenant, RunId = CorrelationId, Step = step.Position, Sequence = sequence, At = now, Artifact = output,
            });
        }
        MarkReady(now, options);
        return new AttemptCommitted { Fence = attempt.Fence };
    }

    /// <summary>Takes the result of a step from the cache; no attempt is made.</summary>
    public void CompleteFromCache(RunStep step, StepCacheEntry entry, DateTimeOffset now, OrchestratorOptions options)
    {
        step.Cached = true;
        step.CacheMiss = null;
        Succeed(step, entry.Outputs, entry.Report, entry.Metrics, now);
        Record("step.cached", now, sequence => new StepCached
        {
            Tenant = Tenant, RunId = CorrelationId, Step = step.Position, Sequence = sequence, At = now, Outputs = entry.Outputs, Report = entry.Report,
            Metrics = entry.Metrics,
        });
        MarkReady(now, options);
    }

    /// <summary>Ends an attempt as failed; <see cref="AttemptCommitted"/> or <see cref="AttemptRefused"/>.</summary>
    public object Fail(FailAttempt message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (Find(message.Step, message.Fence) is not ({ } step, { } attempt))
            return StaleFence(message.Fence);
        if (attempt.State == AttemptStates.Failed && attempt.Worker == message.Worker)
            return new AttemptCommitted { Fence = attempt.Fence };
        if (attempt.State != AttemptStates.Running || attempt.Worker != message.Worker)
            return LeaseLost(attempt, message.Worker);
        AppendLog(step, attempt, message.Log, message.LogFrom);
        Fail(step, attempt, message.Failure, now, options);
        return new AttemptCommitted { Fence = attempt.Fence };
    }

    /// <summary>Takes an offer back that nobody claimed in time.</summary>
    public void Withdraw(OfferExpired message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (Find(message.Fence) is not ({ } step, { State: AttemptStates.Offered } attempt) || attempt.DueAt > now)
            return;
        step.Unclaimed++;
        // The first offers may have met a worker at a bad moment; after that the pool does not take offers, and asking more often helps nobody.
        var pause = step.Unclaimed < 3 ? TimeSpan.Zero : StepPolicy.Doubled(options.OfferFor, step.Unclaimed - 3, TimeSpan.FromSeconds(options.LongestRetrySeconds));
        Lose(step, attempt, "offer-expired", "nobody claimed the offer in time", counted: false, now);
        // It waits for a worker all the time, offered or not.
        step.TryAgain(now, pause);
    }

    /// <summary>Ends a step that has waited too long for a worker.</summary>
    public void ExpireQueue(QueueExpired message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (Step(message.Step) is not { State: StepStates.Pending or StepStates.Offered, QueueLimitAt: { } limit } step || limit > now)
            return;
        if (step.Active is { } offered)
        {
            Lose(step, offered, "queue-timeout", "the step has waited too long for a worker", counted: false, now);
            step.TryAgain(now, TimeSpan.Zero);
        }
        var waited = Durations.Write(StepPolicy.Of(this, step, options).Queue);
        var failure = new Failure
        {
            Code = "queue-timeout",
            Message = $"{Name(step)} has waited {waited} for a worker of kind '{step.Worker}' and none has taken it. Start one, or give it more slots, and resume the run; or submit it with a longer timeouts.queue than {waited}.",
            Retryable = true,
        };
        FailForGood(step, failure, now);
        RecordFailed(step, attempt: null, failure, willRetry: false, now);
    }

    /// <summary>Ends an attempt that has run too long, and tells its worker to stop.</summary>
    public void ExpireAttempt(AttemptExpired message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (Find(message.Fence) is not ({ } step, { State: AttemptStates.Running, LimitAt: { } limit } attempt) || limit > now)
            return;
        var most = Durations.Write(StepPolicy.Of(this, step, options).Attempt);
        Outgoing.Add(new Outgoing(StopOrder(step, attempt, StopReasons.Timeout)));
        Fail(step, attempt, new Failure
        {
            Code = "attempt-timeout",
            Message = $"Attempt {attempt.Number} at {Name(step)} was stopped after {most}. If it needs longer, submit the run with a longer timeouts.attempt than {most}; if it does not, look at its log.",
            Retryable = true,
        }, now, options);
    }

    /// <summary>Fails a run whose time is over.</summary>
    public void ExpireRun(DateTimeOffset now, OrchestratorOptions options)
    {
        if (LimitAt is not { } limit || limit > now)
            return;
        var most = Durations.Write(StepPolicy.TotalOf(this, options));
        var open = Steps.Where(s => !s.IsTerminal).OrderBy(s => s.Position).FirstOrDefault();
        Failure = new Failure
        {
            Code = "total-timeout",
            Message = $"The run was stopped after {most}{(open is null ? "" : $", when {Name(open)} was {open.State}")}. Resume it to go on for another {most}, or submit it with a longer timeouts.total.",
            Retryable = true,
        };
    }

    /// <summary>Ends an attempt whose lease ran out.</summary>
    public void LoseLease(LeaseExpired message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (Find(message.Fence) is not ({ } step, { State: AttemptStates.Running } attempt) || attempt.DueAt > now)
            return;
        var policy = StepPolicy.Of(this, step, options);
        if (policy.OnLeaseLost == LeaseLossPolicies.Wait && attempt.LimitAt is { } end && end > now)
        {
            // A heartbeat renews the lease, and a result counts, as long as nobody else has begun.
            attempt.DueAt = end;
            Progress(step, attempt, step.Progress, $"waiting for {attempt.Worker}, which sends no heartbeats, until {end.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC", new Dictionary<string, double>(), now);
            return;
        }
        Lose(step, attempt, HeartbeatTimeout, $"worker {attempt.Worker} stopped sending heartbeats", counted: true, now);
        if (policy.OnLeaseLost != LeaseLossPolicies.Fail && policy.Retries(step, HeartbeatTimeout))
        {
            AwaitWorker(step, now, policy.PauseAfter(step, attempt.Fence), policy);
            return;
        }
        var silent = Durations.Write(policy.Lease);
        FailForGood(step, new Failure
        {
            Code = HeartbeatTimeout,
            Message = $"{Name(step)} was tried {step.Tries} times, and its last worker ({attempt.Worker}) has sent no heartbeat for {silent}. Look at the log of that worker: it may have run out of memory. Then resume the run, or submit it with a longer timeouts.heartbeat than {silent}.",
            Retryable = true,
        }, now);
    }

    /// <summary>
    /// Ends an attempt whose worker is gone. That need not be the attempt's fault, so it does not count as one of its tries; but a step under which
    /// the process dies again and again is the likely cause.
    /// </summary>
    public void LoseWorker(WorkerGone message, DateTimeOffset now, OrchestratorOptions options)
    {
        if (Find(message.Fence) is not ({ } step, { IsActive: true } attempt))
            return;
        var ran = attempt.State == AttemptStates.Running;
        if (message.Died && ran)
            step.Deaths++;
        Lose(step, attempt, "worker-gone", "its worker ended", counted: false, now);
        if (step.Deaths < options.MaxDeaths)
        {
            if (ran)
                AwaitWorker(step, now, TimeSpan.Zero, StepPolicy.Of(this, step, options));
            else
                step.TryAgain(now, TimeSpan.Zero);
            return;
        }
        FailForGood(step, new Failure
        {
            Code = "process-died",
            Message = $"The process died {step.Deaths} times while {step.Uses} ran, so it is not tried again. Look at the log and at the memory of the machine, then resume the run.",
            Retryable = true,
        }, now);
    }

    /// <summary>Ends whatever has not started and tells the workers to stop the rest.</summary>
    public void Cancel(string? reason, DateTimeOffset now, OrchestratorOptions options)
    {
        CancelReason = reason;
        LimitAt = null;
        Record("run.cancelling", now, sequence => new RunCancelling { Tenant = Tenant, RunId = CorrelationId, Sequence = sequence, At = now, Reason = reason });
        foreach (var step in Steps.Where(s => !s.IsTerminal))
        {
            if (step.Active is { State: AttemptStates.Running } running)
            {
                Outgoing.Add(new Outgoing(StopOrder(step, running, StopReasons.Cancelled)));
                // From here on only the lease bounds it, also where it was to be waited for.
                running.LimitAt = null;
                var lease = StepPolicy.Of(this, step, options).Lease;
                if (running.DueAt > now + lease)
                    running.DueAt = now + lease;
                continue;
            }
            if (step.Active is { } offered)
                End(offered, AttemptStates.Cancelled, now);
            step.End(StepStates.Cancelled, now);
        }
    }

    /// <summary>True when the run is where a request to take it up again wants it: that request was heard before, or another one was and the run has not ended since.</summary>
    public bool IsResumed(string? key) => (key is not null && ResumeKeys.Contains(key)) || (Resumptions > 0 && PublicState is RunStates.Accepted or RunStates.Running);

    /// <summary>Goes on after the end: what has succeeded stays, and every other step gets its tries anew. Their history and the order of fences go on.</summary>
    public void Resume(string? key, DateTimeOffset now, OrchestratorOptions options)
    {
        LimitAt = now + StepPolicy.TotalOf(this, options);
        EndedAt = null;
        Failure = null;
        FailedStep = null;
        CancelReason = null;
        Resumptions++;
        if (key is not null)
            ResumeKeys = [.. ResumeKeys.TakeLast(ResumeKeysKept - 1), key];
        var again = Steps.Where(s => s.State != StepStates.Succeeded).OrderBy(s => s.Position).ToArray();
        foreach (var step in again)
            step.BeginAgain();
        Record("run.resumed", now, sequence => new RunResumed
        {
            Tenant = Tenant, RunId = CorrelationId, Sequence = sequence, At = now, Step = again.FirstOrDefault(s => !s.IsEvaluation)?.Position, Resumption = Resumptions,
        });
        MarkReady(now, options);
    }

    /// <summary>An attempt has ended after the end was asked for, in whichever way.</summary>
    public void Stop(RunStep step, StepAttempt attempt, string state, IReadOnlyList<string> log, int? logFrom, DateTimeOffset now)
    {
        End(attempt, state, now);
        AppendLog(step, attempt, log, logFrom);
        step.End(StepStates.Cancelled, now);
    }

    /// <summary>A running attempt by fence and holder.</summary>
    public (RunStep Step, StepAttempt Attempt)? FindRunning(int position, long fence, string worker) =>
        Find(position, fence) is ({ } step, { State: AttemptStates.Running } attempt) && attempt.Worker == worker ? (step, attempt) : null;

    /// <summary>An active attempt by fence alone.</summary>
    public (RunStep Step, StepAttempt Attempt)? FindActive(long fence) => Find(fence) is ({ } step, { IsActive: true } attempt) ? (step, attempt) : null;

    /// <summary>True when the message repeats one whose effect is in the rows already.</summary>
    public bool IsRepeated(int position, long fence, string worker, string attemptState) =>
        Find(position, fence) is ({ }, { } attempt) && attempt.State == attemptState && attempt.Worker == worker;

    /// <summary>Every step committed.</summary>
    public void EndSucceeded(DateTimeOffset now)
    {
        LimitAt = null;
        EndedAt = now;
        var output = Step(Count)!.Outputs is [var last, ..] ? last : Submission.Model;
        Record("run.succeeded", now, sequence => new RunSucceeded { Tenant = Tenant, RunId = CorrelationId, Sequence = sequence, At = now, Output = output });
    }

    /// <summary>A step failed for good, or the time is over: the rest is skipped or stopped.</summary>
    public void EndFailed(DateTimeOffset now)
    {
        LimitAt = null;
        EndedAt = now;
        foreach (var step in Steps.Where(s => !s.IsTerminal))
        {
            if (step.Active is { } attempt)
            {
                if (attempt.State == AttemptStates.Running)
                    Outgoing.Add(new Outgoing(StopOrder(step, attempt, StopReasons.Cancelled)));
                End(attempt, AttemptStates.Cancelled, now);
                step.End(StepStates.Cancelled, now);
            }
            else
            {
                step.End(StepStates.Skipped, now);
            }
        }
        Record("run.failed", now, sequence => new RunFailed { Tenant = Tenant, RunId = CorrelationId, Sequence = sequence, At = now, Step = FailedStep, Failure = Failure! });
    }

    /// <summary>Nothing runs any more.</summary>
    public void EndCancelled(DateTimeOffset now)
    {
        EndedAt = now;
        Record("run.cancelled", now, sequence => new RunCancelled { Tenant = Tenant, RunId = CorrelationId, Sequence = sequence, At = now, Reason = CancelReason });
    }

    /// <summary>A transformer that made nothing leaves the next step without an input: better to say so than to wait for ever.</summary>
    private AttemptCommitted FailWithoutOutput(RunStep step, StepAttempt attempt, CompleteAttempt message, DateTimeOffset now)
    {
        var failure = new Failure { Code = "no-output", Message = $"{step.Uses} finished without an output. Step {step.Position} of a pipeline must make an artifact.", Retryable = false };
        End(attempt, AttemptStates.Failed, now);
        attempt.Failure = failure;
        attempt.Counted = true;
        AppendLog(step, attempt, message.Log, message.LogFrom);
        FailForGood(step, failure, now);
        RecordFailed(step, attempt, failure, willRetry: false, now);
        return new AttemptCommitted { Fence = attempt.Fence };
    }

    /// <summary>Ends an attempt as failed, and tries again or ends the step.</summary>
    private void Fail(RunStep step, StepAttempt attempt, Failure failure, DateTimeOffset now, OrchestratorOptions options)
    {
        End(attempt, AttemptStates.Failed, now);
        attempt.Failure = failure;
        attempt.Counted = true;
        var policy = StepPolicy.Of(this, step, options);
        var retry = failure.Retryable && policy.Retries(step, failure.Code);
        if (retry)
            AwaitWorker(step, now, policy.PauseAfter(step, attempt.Fence), policy);
        else
            FailForGood(step, failure, now);
        RecordFailed(step, attempt, failure, retry, now);
    }

    private void RecordFailed(RunStep step, StepAttempt? attempt, Failure failure, bool willRetry, DateTimeOffset now) =>
        Record("step.failed", now, sequence => new StepFailed
        {
            Tenant = Tenant, RunId = CorrelationId, Step = step.Position, Attempt = attempt?.Number ?? 0, Fence = attempt?.Fence ?? 0, Sequence = sequence, At = now,
            Failure = failure,
            WillRetry = willRetry,
        });

    private void Progress(RunStep step, StepAttempt attempt, double progress, string? activity, IReadOnlyDictionary<string, double> metrics, DateTimeOffset now)
    {
        if (progress == step.Progress && activity == step.Activity)
            return;
        step.Progress = progress;
        step.Activity = activity;
        Record("step.progressed", now, sequence => new StepProgressed
        {
            Tenant = Tenant, RunId = CorrelationId, Step = step.Position, Attempt = attempt.Number, Fence = attempt.Fence, Sequence = sequence, At = now,
            Progress = progress,
            Activity = activity,
            Metrics = metrics,
        });
    }

    /// <summary>A step by number and transformer, for people.</summary>
    private static string Name(RunStep step) => step.EvaluatesAfter switch
    {
        null => $"step {step.Position} ({step.Uses})",
        0 => "the evaluation of the input",
        var after => $"the evaluation after step {after}",
    };

    /// <summary>Waits for a worker from the end of a pause on.</summary>
    private static void AwaitWorker(RunStep step, DateTimeOffset now, TimeSpan pause, StepPolicy policy)
    {
        step.TryAgain(now, pause);
        step.QueueLimitAt = step.NotBefore + policy.Queue;
    }

    private static AttemptRefused Refused(string code, string message) => new() { Code = code, Message = message };

    private AttemptRefused StaleFence(long fence) => Refused("stale-fence", $"Fence {fence} is not current in run {CorrelationId}: another attempt has taken over.");

    private static AttemptRefused LeaseLost(StepAttempt attempt, string worker) => attempt.Worker == worker
        ? Refused("lease-lost", $"The attempt with fence {attempt.Fence} is {attempt.State}: its lease ran out before this message came.")
        : Refused("lease-lost", $"The attempt with fence {attempt.Fence} is not leased to {worker}.");

    private (RunStep?, StepAttempt?) Find(long fence)
    {
        foreach (var step in Steps)
        {
            if (step.Attempts.SingleOrDefault(a => a.Fence == fence) is { } attempt)
                return (step, attempt);
        }
        return (null, null);
    }

    /// <summary>The newest attempt of a step, if that is the one with this fence.</summary>
    private (RunStep?, StepAttempt?) Find(int position, long fence) =>
        Step(position) is { } step && step.Attempts.MaxBy(a => a.Fence) is { } newest && newest.Fence == fence ? (step, newest) : (null, null);

    private ArtifactRef? InputOf(RunStep step)
    {
        var before = step.EvaluatesAfter ?? step.Position - 1;
        return before == 0 ? Submission.Model : Step(before)!.Outputs is [var output, ..] ? output : null;
    }

    private Recipe RecipeBefore(RunStep step) => new()
    {
        ModelName = Submission.ModelName,
        Model = Submission.Model,
        Steps = [.. Enumerable.Range(1, step.EvaluatesAfter ?? step.Position - 1).Select(p => Step(p)!).Select(s => new RecipeStep
        {
            Uses = s.Uses,
            Version = s.Version!,
            With = s.With,
            Datasets = s.Datasets,
            Seed = Submission.Seed,
            Output = s.Outputs[0],
            Report = s.Report!,
        })],
    };

    private void MarkReady(DateTimeOffset now, OrchestratorOptions options)
    {
        foreach (var step in Steps.Where(s => s.State == StepStates.Pending && s.ReadyAt is null))
        {
            var before = step.EvaluatesAfter ?? step.Position - 1;
            if (before > 0 && Step(before)!.State != StepStates.Succeeded)
                continue;
            var input = InputOf(step);
            if (step.IsEvaluation && input?.Kind != ArtifactKinds.Onnx)
            {
                // The step promised a network and made something else: there is nothing to measure.
                step.End(StepStates.Skipped, now);
            }
            else if (input is not null)
            {
                step.ReadyAt = now;
                AwaitWorker(step, now, TimeSpan.Zero, StepPolicy.Of(this, step, options));
            }
        }
    }

    private static void Succeed(RunStep step, IReadOnlyList<ArtifactRef> outputs, ArtifactRef report, IReadOnlyDictionary<string, double> metrics, DateTimeOffset now)
    {
        step.End(StepStates.Succeeded, now);
        step.Outputs = outputs;
        step.Report = report;
        step.Metrics = metrics;
        step.Progress = 1;
        step.Activity = null;
        step.StartedAt ??= now;
    }

    private void FailForGood(RunStep step, Failure failure, DateTimeOffset now)
    {
        step.End(StepStates.Failed, now);
        step.Failure = failure;
        Failure = failure;
        FailedStep = step.IsEvaluation ? null : step.Position;
    }

    private void Lose(RunStep step, StepAttempt attempt, string code, string reason, bool counted, DateTimeOffset now)
    {
        End(attempt, AttemptStates.Lost, now);
        attempt.Counted = counted;
        Record("step.lost", now, sequence => new StepLost
        {
            Tenant = Tenant, RunId = CorrelationId, Step = step.Position, Attempt = attempt.Number, Fence = attempt.Fence, Sequence = sequence, At = now,
            Code = code,
            Reason = reason,
        });
    }

    private static void End(StepAttempt attempt, string state, DateTimeOffset now)
    {
        attempt.State = state;
        attempt.EndedAt = now;
        attempt.LimitAt = null;
    }

    private CancelAttempt StopOrder(RunStep step, StepAttempt attempt, string reason) => new()
    {
        Tenant = Tenant, RunId = CorrelationId, Step = step.Position, Attempt = attempt.Number, Fence = attempt.Fence, Reason = reason,
    };

    /// <summary>Keeps the lines that it does not have yet, each as one line of text that every database takes.</summary>
    private void AppendLog(RunStep step, StepAttempt attempt, IReadOnlyList<string> lines, int? from)
    {
        var known = from is { } before ? Math.Clamp(attempt.LogLines - before, 0, lines.Count) : 0;
        attempt.LogLines += lines.Count - known;
        var kept = new List<string>();
        foreach (var line in lines.Skip(known))
        {
            if (step.LogBytes >= LogLimitBytes)
                break;
            var text = StepLogLines.Printable(line);
            step.LogBytes += System.Text.Encoding.UTF8.GetByteCount(text) + 1;
            kept.Add(step.LogBytes < LogLimitBytes ? text : $"The log ends here: a step keeps {LogLimitBytes / 1024} KiB.");
        }
        if (kept.Count == 0)
            return;
        step.LogLines += kept.Count;
        Log.Add(new StepLogLines { RunId = CorrelationId, Step = step.Position, Last = step.LogLines, Attempt = attempt.Number, Text = string.Join('\n', kept) });
    }

    private void Record<T>(string subject, DateTimeOffset now, Func<long, T> create) where T : class
    {
        var message = create(++Sequence);
        Events.Add(new RunEvent
        {
            RunId = CorrelationId,
            Sequence = Sequence,
            Tenant = Tenant,
            Type = EventTypes.TypeOf(subject),
            At = now,
            Data = JsonSerializer.Serialize(message, ContractJson.Options),
            Message = message,
        });
    }
}

/// <summary>A message to tell once the change is committed.</summary>
/// <param name="Message">A contract record.</param>
/// <param name="Queue">Where it goes; null: it is published.</param>
internal sealed record Outgoing(object Message, string? Queue = null);

internal sealed class PipelineRunConfiguration : IEntityTypeConfiguration<PipelineRun>
{
    public void Configure(EntityTypeBuilder<PipelineRun> builder)
    {
        builder.ToTable("runs");
        builder.HasKey(r => r.CorrelationId);
        builder.Property(r => r.CorrelationId).ValueGeneratedNever();
        builder.Property(r => r.Version).IsConcurrencyToken();
        builder.Property(r => r.Submission).HasJsonColumn();
        builder.Property(r => r.Failure).HasJsonColumn();
        builder.Property(r => r.ResumeKeys).HasJsonColumn();
        builder.Ignore(r => r.Outgoing);
        builder.Ignore(r => r.IsTerminal);
        builder.Ignore(r => r.IsActive);
        builder.Ignore(r => r.PublicState);
        builder.Ignore(r => r.IsComplete);
        builder.Ignore(r => r.HasFailed);
        builder.Ignore(r => r.HasActiveAttempt);
        builder.Ignore(r => r.Waiting);
        // What the sweeper asks for: runs whose time is over.
        builder.HasIndex(r => r.LimitAt);
        // The list of a tenant's runs, newest first, page by page.
        builder.HasIndex(r => new { r.Tenant, r.AcceptedAt, r.CorrelationId });
        builder.HasMany(r => r.Steps).WithOne().HasForeignKey(s => s.RunId).OnDelete(DeleteBehavior.Cascade);
        builder.HasMany(r => r.Events).WithOne().HasForeignKey(e => e.RunId).OnDelete(DeleteBehavior.Cascade);
        builder.HasMany(r => r.Log).WithOne().HasForeignKey(l => l.RunId).OnDelete(DeleteBehavior.Cascade);
    }
}
