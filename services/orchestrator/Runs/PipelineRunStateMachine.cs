using MassTransit;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>
/// What a run does on which message in which state. The rows are the truth and messages are hints: every event is correlated by the run
/// alone, may come late, twice or out of order, and is then a no-op with a definite answer. The verbs are in <see cref="SideEffects"/>.
/// </summary>
internal sealed class PipelineRunStateMachine : MassTransitStateMachine<PipelineRun>
{
    public PipelineRunStateMachine()
    {
        InstanceState(run => run.CurrentState);
        Correlate();

        Initially(
            When(SubmitRun).Accept().IfElse(
                c => c.Message.Cancelled,
                cancelled => cancelled.EndUnwanted(this),
                wanted => wanted.ServeFromCache().TransitionTo(Accepted).Settle(this)).AnswerAccepted().Tell());

        During(Accepted,
            When(SubmitRun).If(c => c.Message.Cancelled, unwanted => unwanted.EndUnwanted(this)).AnswerAccepted().Tell(),
            When(ClaimAttempt).Claim().If(c => c.Saga.StartedAt is not null, started => started.TransitionTo(Running)).Tell(),
            When(Heartbeat).Beat().Tell(),
            When(CompleteAttempt).Complete().ServeFromCache().Settle(this).Tell(),
            When(FailAttempt).Fail().Settle(this).Tell(),
            When(OfferExpired).Withdraw().Tell(),
            When(LeaseExpired).LoseLease().Settle(this).Tell(),
            When(QueueExpired).ExpireQueue().Settle(this).Tell(),
            When(AttemptExpired).ExpireAttempt().Settle(this).Tell(),
            When(RunExpired).ExpireRun().Settle(this).Tell(),
            When(WorkerGone).LoseWorker().Settle(this).Tell(),
            When(CancelRun).Cancel(this).Tell(),
            When(ResumeRun).AnswerResume());

        During(Running,
            When(SubmitRun).If(c => c.Message.Cancelled, unwanted => unwanted.EndUnwanted(this)).AnswerAccepted().Tell(),
            When(ClaimAttempt).Claim().Tell(),
            When(Heartbeat).Beat().Tell(),
            When(CompleteAttempt).Complete().ServeFromCache().Settle(this).Tell(),
            When(FailAttempt).Fail().Settle(this).Tell(),
            When(OfferExpired).Withdraw().Tell(),
            When(LeaseExpired).LoseLease().Settle(this).Tell(),
            When(QueueExpired).ExpireQueue().Settle(this).Tell(),
            When(AttemptExpired).ExpireAttempt().Settle(this).Tell(),
            When(RunExpired).ExpireRun().Settle(this).Tell(),
            When(WorkerGone).LoseWorker().Settle(this).Tell(),
            When(CancelRun).Cancel(this).Tell(),
            When(ResumeRun).AnswerResume());

        During(Cancelling,
            When(SubmitRun).AnswerAccepted(),
            When(ClaimAttempt).RefuseClaim(),
            When(Heartbeat).BeatWhileCancelling().Tell(),
            When(CompleteAttempt).StopCompleted().EndCancelling(this).Tell(),
            When(FailAttempt).StopFailed().EndCancelling(this).Tell(),
            Ignore(OfferExpired), // offers were withdrawn when the end was asked for
            When(LeaseExpired).StopExpired().EndCancelling(this).Tell(),
            Ignore(QueueExpired), // nothing waits any more, and what runs is bounded by its lease
            Ignore(AttemptExpired),
            Ignore(RunExpired),
            When(WorkerGone).StopGone().EndCancelling(this).Tell(),
            When(CancelRun).AnswerCancel(),
            When(ResumeRun).AnswerResume());

        foreach (var terminal in new[] { Succeeded, Failed, Cancelled })
        {
            During(terminal,
                When(SubmitRun).AnswerAccepted(),
                When(ClaimAttempt).RefuseClaim(),
                When(Heartbeat).BeatAfterEnd(),
                When(CompleteAttempt).AnswerCompleteAfterEnd(),
                When(FailAttempt).AnswerFailAfterEnd(),
                Ignore(OfferExpired),
                Ignore(LeaseExpired),
                Ignore(QueueExpired),
                Ignore(AttemptExpired),
                Ignore(RunExpired),
                Ignore(WorkerGone),
                When(CancelRun).AnswerCancel());
        }

        During(Succeeded,
            When(ResumeRun).AnswerResume());

        foreach (var ended in new[] { Failed, Cancelled })
            During(ended, When(ResumeRun).Resume(this).Tell());
    }

    public State Accepted { get; } = null!;

    public State Running { get; } = null!;

    public State Cancelling { get; } = null!;

    public State Succeeded { get; } = null!;

    public State Failed { get; } = null!;

    public State Cancelled { get; } = null!;

    public Event<SubmitRun> SubmitRun { get; } = null!;

    public Event<ClaimAttempt> ClaimAttempt { get; } = null!;

    public Event<Heartbeat> Heartbeat { get; } = null!;

    public Event<CompleteAttempt> CompleteAttempt { get; } = null!;

    public Event<FailAttempt> FailAttempt { get; } = null!;

    public Event<OfferExpired> OfferExpired { get; } = null!;

    public Event<LeaseExpired> LeaseExpired { get; } = null!;

    public Event<QueueExpired> QueueExpired { get; } = null!;

    public Event<AttemptExpired> AttemptExpired { get; } = null!;

    public Event<RunExpired> RunExpired { get; } = null!;

    public Event<WorkerGone> WorkerGone { get; } = null!;

    public Event<CancelRun> CancelRun { get; } = null!;

    public Event<ResumeRun> ResumeRun { get; } = null!;

    private void Correlate()
    {
        Event(() => SubmitRun, e =>
        {
            e.CorrelateById(c => c.Message.RunId);
            e.InsertOnInitial = true;
            e.SetSagaFactory(c => PipelineRun.From(c.Message));
        });
        Event(() => ClaimAttempt, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.ExecuteAsync(c => c.RespondAsync(SideEffects.UnknownRun(c.Message.RunId)))); });
        Event(() => Heartbeat, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.ExecuteAsync(c => c.RespondAsync(new HeartbeatReply { Verdict = HeartbeatVerdicts.Lost }))); });
        Event(() => CompleteAttempt, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.ExecuteAsync(c => c.RespondAsync(SideEffects.UnknownRun(c.Message.RunId)))); });
        Event(() => FailAttempt, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.ExecuteAsync(c => c.RespondAsync(SideEffects.UnknownRun(c.Message.RunId)))); });
        Event(() => OfferExpired, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.Discard()); });
        Event(() => LeaseExpired, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.Discard()); });
        Event(() => QueueExpired, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.Discard()); });
        Event(() => AttemptExpired, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.Discard()); });
        Event(() => RunExpired, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.Discard()); });
        Event(() => WorkerGone, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.Discard()); });
        Event(() => ResumeRun, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.ExecuteAsync(c => c.RespondAsync(SideEffects.NothingToResume(c.Message.RunId)))); });
        Event(() => CancelRun, e => { e.CorrelateById(c => c.Message.RunId); e.OnMissingInstance(m => m.ExecuteAsync(c => c.RespondAsync(SideEffects.UnknownRun(c.Message.RunId)))); });
    }
}
