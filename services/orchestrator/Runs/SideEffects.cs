using MassTransit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Caching;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>The verbs of <see cref="PipelineRunStateMachine"/>. Answers and messages leave after the commit: the endpoint holds them back until then.</summary>
internal static class SideEffects
{
    /// <summary>Results of a transformer that a step which is not in the cache is held against.</summary>
    private const int ComparedEntries = 100;

    private const string CancelledEarly = "asked for by its owner before it was taken on";

    public static AttemptRefused UnknownRun(Guid run) => new() { Code = "unknown-run", Message = $"There is no run {run}." };

    public static ResumeRunRefused NothingToResume(Guid run) => new() { Code = "unknown-run", Message = $"There is no run {run}." };

    public static EventActivityBinder<PipelineRun, SubmitRun> Accept(this EventActivityBinder<PipelineRun, SubmitRun> binder) =>
        binder.Then(c => c.Saga.Accept(Now(c), Settings(c)));

    /// <summary>The first event of the log answers a request, however often it is repeated.</summary>
    public static EventActivityBinder<PipelineRun, SubmitRun> AnswerAccepted(this EventActivityBinder<PipelineRun, SubmitRun> binder) =>
        binder.ThenAsync(c => Answer(c, Owned(c, c.Message.Tenant)
            ? new RunAccepted { Tenant = c.Saga.Tenant, RunId = c.Saga.CorrelationId, Sequence = 1, At = c.Saga.AcceptedAt }
            : UnknownRun(c.Message.RunId)));

    /// <summary>Completes every waiting step whose result is known, and those that become ready by it.</summary>
    public static EventActivityBinder<PipelineRun, T> ServeFromCache<T>(this EventActivityBinder<PipelineRun, T> binder) where T : class =>
        binder.ThenAsync(c => ServeFromCacheAsync(Database(c), c.Saga, Settings(c), c.CancellationToken));

    /// <summary>
    /// Offers a step of a run that the transaction has locked; true when it takes the slot. No message asks for it: the dispatcher is in this process, and many offers are one transaction.
    /// </summary>
    public static async Task<bool> OfferAsync(OrchestratorDbContext database, PipelineRun run, OfferStep offer, OrchestratorOptions options, CancellationToken cancellation)
    {
        if (!run.IsActive)
            return false;
        // The version of an evaluation is known from here on only, so this is its first chance to come from the cache.
        if (run.Step(offer.Step) is { IsEvaluation: true, State: StepStates.Pending } evaluation)
        {
            evaluation.Version = offer.Version;
            await ServeFromCacheAsync(database, run, options, cancellation);
            if (run.IsComplete)
            {
                run.EndSucceeded(database.Now);
                run.CurrentState = nameof(PipelineRunStateMachine.Succeeded);
            }
        }
        return run.Offer(offer, database.Now, options);
    }

    public static EventActivityBinder<PipelineRun, ClaimAttempt> Claim(this EventActivityBinder<PipelineRun, ClaimAttempt> binder) =>
        binder.ThenAsync(c => Answer(c, Owned(c, c.Message.Tenant) ? c.Saga.Claim(c.Message, Now(c), Settings(c)) : UnknownRun(c.Message.RunId)));

    public static EventActivityBinder<PipelineRun, ClaimAttempt> RefuseClaim(this EventActivityBinder<PipelineRun, ClaimAttempt> binder) =>
        binder.ThenAsync(c => Answer(c, RunEnded(c)));

    public static EventActivityBinder<PipelineRun, Heartbeat> Beat(this EventActivityBinder<PipelineRun, Heartbeat> binder) =>
        binder.ThenAsync(c => Answer(c, Owned(c, c.Message.Tenant) ? c.Saga.Beat(c.Message, Now(c), Settings(c)) : Lost));

    public static EventActivityBinder<PipelineRun, Heartbeat> BeatWhileCancelling(this EventActivityBinder<PipelineRun, Heartbeat> binder) =>
        binder.ThenAsync(c => Answer(c, Owned(c, c.Message.Tenant) ? c.Saga.BeatWhileCancelling(c.Message) : Lost));

    public static EventActivityBinder<PipelineRun, Heartbeat> BeatAfterEnd(this EventActivityBinder<PipelineRun, Heartbeat> binder) =>
        binder.ThenAsync(c => Answer(c, Owned(c, c.Message.Tenant) ? c.Saga.TakeLastWords(c.Message) : Lost));

    public static EventActivityBinder<PipelineRun, CompleteAttempt> Complete(this EventActivityBinder<PipelineRun, CompleteAttempt> binder) =>
        binder.ThenAsync(async c =>
        {
            if (!Owned(c, c.Message.Tenant))
            {
                await Answer(c, UnknownRun(c.Message.RunId));
                return;
            }
            var before = c.Saga.Sequence;
            var answer = c.Saga.Complete(c.Message, Now(c), Settings(c));
            if (c.Saga.Sequence != before && c.Saga.Step(c.Message.Step) is { State: StepStates.Succeeded } step)
                await RememberAsync(c, step);
            await Answer(c, answer);
        });

    public static EventActivityBinder<PipelineRun, FailAttempt> Fail(this EventActivityBinder<PipelineRun, FailAttempt> binder) =>
        binder.ThenAsync(c => Answer(c, Owned(c, c.Message.Tenant) ? c.Saga.Fail(c.Message, Now(c), Settings(c)) : UnknownRun(c.Message.RunId)));

    public static EventActivityBinder<PipelineRun, OfferExpired> Withdraw(this EventActivityBinder<PipelineRun, OfferExpired> binder) =>
        binder.Then(c => c.Saga.Withdraw(c.Message, Now(c), Settings(c)));

    public static EventActivityBinder<PipelineRun, LeaseExpired> LoseLease(this EventActivityBinder<PipelineRun, LeaseExpired> binder) =>
        binder.Then(c => c.Saga.LoseLease(c.Message, Now(c), Settings(c)));

    public static EventActivityBinder<PipelineRun, QueueExpired> ExpireQueue(this EventActivityBinder<PipelineRun, QueueExpired> binder) =>
        binder.Then(c => c.Saga.ExpireQueue(c.Message, Now(c), Settings(c)));

    public static EventActivityBinder<PipelineRun, AttemptExpired> ExpireAttempt(this EventActivityBinder<PipelineRun, AttemptExpired> binder) =>
        binder.Then(c => c.Saga.ExpireAttempt(c.Message, Now(c), Settings(c)));

    public static EventActivityBinder<PipelineRun, RunExpired> ExpireRun(this EventActivityBinder<PipelineRun, RunExpired> binder) =>
        binder.Then(c => c.Saga.ExpireRun(Now(c), Settings(c)));

    public static EventActivityBinder<PipelineRun, WorkerGone> LoseWorker(this EventActivityBinder<PipelineRun, WorkerGone> binder) =>
        binder.Then(c => c.Saga.LoseWorker(c.Message, Now(c), Settings(c)));

    /// <summary>Stops what runs; ends the run at once when nothing does.</summary>
    public static EventActivityBinder<PipelineRun, CancelRun> Cancel(this EventActivityBinder<PipelineRun, CancelRun> binder, PipelineRunStateMachine machine) =>
        binder.IfElse(
            c => Owned(c, c.Message.Tenant),
            owned => owned
                .Then(c => c.Saga.Cancel(c.Message.Reason, Now(c), Settings(c)))
                .TransitionTo(machine.Cancelling)
                .EndCancelling(machine)
                .AnswerCancel(),
            other => other.AnswerCancel());

    /// <summary>Ends a run whose owner had asked for that before it was known to be here.</summary>
    public static EventActivityBinder<PipelineRun, SubmitRun> EndUnwanted(this EventActivityBinder<PipelineRun, SubmitRun> binder, PipelineRunStateMachine machine) =>
        binder.If(c => Owned(c, c.Message.Tenant), owned => owned
            .Then(c => c.Saga.Cancel(CancelledEarly, Now(c), Settings(c)))
            .TransitionTo(machine.Cancelling)
            .EndCancelling(machine));

    public static EventActivityBinder<PipelineRun, CancelRun> AnswerCancel(this EventActivityBinder<PipelineRun, CancelRun> binder) =>
        binder.ThenAsync(c => Answer(c, Owned(c, c.Message.Tenant)
            ? new CancelRunAccepted { RunId = c.Saga.CorrelationId, State = c.Saga.PublicState }
            : UnknownRun(c.Message.RunId)));

    /// <summary>Goes on with a run that failed or was cancelled, from what it has.</summary>
    public static EventActivityBinder<PipelineRun, ResumeRun> Resume(this EventActivityBinder<PipelineRun, ResumeRun> binder, PipelineRunStateMachine machine) =>
        binder.IfElse(
            c => Owned(c, c.Message.Tenant) && !c.Saga.IsResumed(c.Message.Key),
            ended => ended
                .Then(c => c.Saga.Resume(c.Message.Key, Now(c), Settings(c)))
                .IfElse(c => c.Saga.StartedAt is null, fresh => fresh.TransitionTo(machine.Accepted), begun => begun.TransitionTo(machine.Running))
                .ServeFromCache()
                .Settle(machine)
                .ThenAsync(AnswerResumed),
            other => other.AnswerResume());

    public static EventActivityBinder<PipelineRun, ResumeRun> AnswerResume(this EventActivityBinder<PipelineRun, ResumeRun> binder) =>
        binder.ThenAsync(c =>
        {
            var (saga, message) = (c.Saga, c.Message);
            if (!Owned(c, message.Tenant))
                return Answer(c, NothingToResume(message.RunId));
            if (saga.IsResumed(message.Key))
                return AnswerResumed(c);
            return Answer(c, saga.PublicState switch
            {
                RunStates.Succeeded => new ResumeRunRefused { Code = "run-succeeded", Message = $"Run {saga.CorrelationId} has succeeded, so there is nothing to resume. Submit a new run to do it again." },
                RunStates.Cancelling => new ResumeRunRefused { Code = "run-cancelling", Message = $"Run {saga.CorrelationId} is being cancelled. Resume it once it is cancelled." },
                var state => new ResumeRunRefused { Code = "run-active", Message = $"Run {saga.CorrelationId} is {state}. Only a run that failed or was cancelled can be resumed." },
            });
        });

    /// <summary>A result that comes after the end was asked for is too late: the cancellation has won.</summary>
    public static EventActivityBinder<PipelineRun, CompleteAttempt> StopCompleted(this EventActivityBinder<PipelineRun, CompleteAttempt> binder) =>
        binder.ThenAsync(c =>
        {
            var (saga, message) = (c.Saga, c.Message);
            if (Owned(c, message.Tenant) && saga.FindRunning(message.Step, message.Fence, message.Worker) is ({ } step, { } attempt))
                saga.Stop(step, attempt, AttemptStates.Cancelled, message.Log, message.LogFrom, Now(c));
            return AnswerCompleteAfterEnd(c);
        });

    public static EventActivityBinder<PipelineRun, FailAttempt> StopFailed(this EventActivityBinder<PipelineRun, FailAttempt> binder) =>
        binder.ThenAsync(c =>
        {
            var (saga, message) = (c.Saga, c.Message);
            if (!Owned(c, message.Tenant) || saga.FindRunning(message.Step, message.Fence, message.Worker) is not ({ } step, { } attempt))
                return AnswerFailAfterEnd(c);
            saga.Stop(step, attempt, AttemptStates.Cancelled, message.Log, message.LogFrom, Now(c));
            return Answer(c, new AttemptCommitted { Fence = attempt.Fence });
        });

    public static EventActivityBinder<PipelineRun, LeaseExpired> StopExpired(this EventActivityBinder<PipelineRun, LeaseExpired> binder) =>
        binder.Then(c =>
        {
            if (c.Saga.FindActive(c.Message.Fence) is ({ } step, { } attempt) && attempt.DueAt <= Now(c))
                c.Saga.Stop(step, attempt, AttemptStates.Lost, [], null, Now(c));
        });

    public static EventActivityBinder<PipelineRun, WorkerGone> StopGone(this EventActivityBinder<PipelineRun, WorkerGone> binder) =>
        binder.Then(c =>
        {
            if (c.Saga.FindActive(c.Message.Fence) is ({ } step, { } attempt))
                c.Saga.Stop(step, attempt, AttemptStates.Lost, [], null, Now(c));
        });

    public static EventActivityBinder<PipelineRun, CompleteAttempt> AnswerCompleteAfterEnd(this EventActivityBinder<PipelineRun, CompleteAttempt> binder) =>
        binder.ThenAsync(AnswerCompleteAfterEnd);

    public static EventActivityBinder<PipelineRun, FailAttempt> AnswerFailAfterEnd(this EventActivityBinder<PipelineRun, FailAttempt> binder) =>
        binder.ThenAsync(AnswerFailAfterEnd);

    /// <summary>Ends the run when a step failed for good, its time is over, or all is done.</summary>
    public static EventActivityBinder<PipelineRun, T> Settle<T>(this EventActivityBinder<PipelineRun, T> binder, PipelineRunStateMachine machine) where T : class =>
        binder.IfElse(
            c => c.Saga.HasFailed,
            failed => failed.Then(c => c.Saga.EndFailed(Now(c))).TransitionTo(machine.Failed),
            good => good.If(c => c.Saga.IsComplete, done => done.Then(c => c.Saga.EndSucceeded(Now(c))).TransitionTo(machine.Succeeded)));

    /// <summary>Ends a run that is to be cancelled once nothing runs any more.</summary>
    public static EventActivityBinder<PipelineRun, T> EndCancelling<T>(this EventActivityBinder<PipelineRun, T> binder, PipelineRunStateMachine machine) where T : class =>
        binder.If(
            c => !c.Saga.HasActiveAttempt,
            ended => ended.Then(c => c.Saga.EndCancelled(Now(c))).TransitionTo(machine.Cancelled));

    /// <summary>Sends and publishes what the changes ask for.</summary>
    public static EventActivityBinder<PipelineRun, T> Tell<T>(this EventActivityBinder<PipelineRun, T> binder) where T : class =>
        binder.ThenAsync(async c =>
        {
            foreach (var message in c.Saga.Outgoing)
                await TellAsync(c, c, message);
            c.Saga.Outgoing.Clear();
        });

    /// <summary>Sends or publishes a message.</summary>
    public static async Task TellAsync(ISendEndpointProvider sends, IPublishEndpoint publishes, Outgoing outgoing)
    {
        if (outgoing.Queue is null)
        {
            await publishes.Publish(outgoing.Message, outgoing.Message.GetType());
            return;
        }
        // An exchange without a queue drops the offer, and the sweeper makes it again; sending to a queue would declare one nobody reads.
        var endpoint = await sends.GetSendEndpoint(new Uri($"exchange:{outgoing.Queue}"));
        await endpoint.Send(outgoing.Message, outgoing.Message.GetType());
    }

    private static Task AnswerResumed(BehaviorContext<PipelineRun, ResumeRun> c) => Answer(c, new ResumeRunAccepted { RunId = c.Saga.CorrelationId, State = c.Saga.PublicState });

    private static HeartbeatReply Lost => new() { Verdict = HeartbeatVerdicts.Lost };

    private static Task AnswerCompleteAfterEnd(BehaviorContext<PipelineRun, CompleteAttempt> c) =>
        Answer(c, Owned(c, c.Message.Tenant) && c.Saga.IsRepeated(c.Message.Step, c.Message.Fence, c.Message.Worker, AttemptStates.Succeeded)
            ? new AttemptCommitted { Fence = c.Message.Fence }
            : RunEnded(c));

    private static Task AnswerFailAfterEnd(BehaviorContext<PipelineRun, FailAttempt> c) =>
        Answer(c, Owned(c, c.Message.Tenant)
            && (c.Saga.IsRepeated(c.Message.Step, c.Message.Fence, c.Message.Worker, AttemptStates.Failed)
                || c.Saga.IsRepeated(c.Message.Step, c.Message.Fence, c.Message.Worker, AttemptStates.Cancelled))
            ? new AttemptCommitted { Fence = c.Message.Fence }
            : RunEnded(c));

    private static AttemptRefused RunEnded(BehaviorContext<PipelineRun> c) =>
        new() { Code = "run-ended", Message = $"Run {c.Saga.CorrelationId} is {c.Saga.PublicState}." };

    /// <summary>A run of another tenant is treated like one that does not exist.</summary>
    private static bool Owned(BehaviorContext<PipelineRun> c, string tenant) => c.Saga.Tenant == tenant;

    private static Task Answer(ConsumeContext c, object answer) =>
        c.ResponseAddress is null ? Task.CompletedTask : c.RespondAsync(answer, answer.GetType());

    private static async Task ServeFromCacheAsync(OrchestratorDbContext database, PipelineRun run, OrchestratorOptions options, CancellationToken cancellation)
    {
        if (!run.Submission.Cache)
        {
            foreach (var step in run.Waiting)
                step.CacheMiss = new CacheMiss { Reason = CacheMissReasons.Off };
            return;
        }
        var missed = new HashSet<int>();
        while (run.Waiting.FirstOrDefault(s => s.Version is not null && !missed.Contains(s.Position)) is { } step)
        {
            var offer = run.DescribeOffer(step, step.Version!);
            var entry = StepCacheKey.Of(offer) is { } key
                ? await database.StepCache.AsNoTracking().SingleOrDefaultAsync(e => e.Key == key, cancellation)
                : null;
            if (entry is not null)
            {
                run.CompleteFromCache(step, entry, database.Now, options);
                continue;
            }
            missed.Add(step.Position);
            step.CacheMiss ??= await WhyMissedAsync(database, offer, cancellation);
        }
    }

    /// <summary>Holds a step against the newest results of its transformer: what differs from the one that is most like it.</summary>
    private static async Task<CacheMiss> WhyMissedAsync(OrchestratorDbContext database, StepOffer offer, CancellationToken cancellation)
    {
        if (StepCacheKey.PartsOf(offer) is not { } parts)
            return new CacheMiss { Reason = CacheMissReasons.NotCacheable };
        var newest = await database.StepCache.AsNoTracking().Where(e => e.Tenant == offer.Tenant && e.Uses == offer.Uses)
            .OrderByDescending(e => e.StoredAt).ThenBy(e => e.Key).Take(ComparedEntries).Select(e => e.Parts).ToListAsync(cancellation);
        return newest.Select(parts.Differences).MinBy(d => d.Count) is { } changed
            ? new CacheMiss { Reason = CacheMissReasons.Changed, Changed = changed }
            : new CacheMiss { Reason = CacheMissReasons.NothingAlike };
    }

    private static async Task RememberAsync(BehaviorContext<PipelineRun> c, RunStep step)
    {
        var offer = c.Saga.DescribeOffer(step, step.Version!);
        if (StepCacheKey.Of(offer) is not { } key || StepCacheKey.PartsOf(offer) is not { } parts)
            return;
        var database = Database(c);
        if (!await database.StepCache.AnyAsync(e => e.Key == key, c.CancellationToken))
        {
            database.StepCache.Add(new StepCacheEntry
            {
                Key = key,
                Tenant = c.Saga.Tenant,
                Uses = step.Uses,
                Parts = parts,
                Outputs = step.Outputs,
                Report = step.Report!,
                Metrics = step.Metrics,
                StoredAt = Now(c),
            });
        }
    }

    private static OrchestratorDbContext Database(PipeContext c) => c.GetPayload<OrchestratorDbContext>();

    /// <summary>By the clock that all due times are compared by.</summary>
    private static DateTimeOffset Now(PipeContext c) => Database(c).Now;

    private static OrchestratorOptions Settings(PipeContext c) => Provider(c).GetRequiredService<IOptions<OrchestratorOptions>>().Value;

    private static IServiceProvider Provider(PipeContext c) => c.GetPayload<IServiceProvider>();
}
