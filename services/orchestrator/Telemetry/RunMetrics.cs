using System.Data.Common;
using System.Diagnostics.Metrics;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Orchestrator.Storage;
using TinyMLaaS.ServiceDefaults;
using Measures = TinyMLaaS.ServiceDefaults.Telemetry;

namespace TinyMLaaS.Orchestrator.Telemetry;

/// <summary>Counts what runs and steps went through, and logs what did not go well and how runs end, from the events of each transaction after it has committed: whatever is rolled back and tried again counts once.</summary>
internal sealed class RunMetrics : DbTransactionInterceptor
{
    private readonly Counter<long> _accepted;
    private readonly Counter<long> _ended;
    private readonly Histogram<double> _runDuration;
    private readonly Histogram<double> _queueWait;
    private readonly Histogram<double> _stepDuration;
    private readonly Counter<long> _attempts;
    private readonly Counter<long> _leases;
    private readonly Counter<long> _cached;

    private readonly ILogger<RunMetrics> _log;

    public RunMetrics(IMeterFactory meters, ILogger<RunMetrics> log)
    {
        _log = log;
        var meter = meters.Create(Measures.Name);
        _accepted = meter.CreateCounter<long>("tinymlaas.runs.accepted", description: "Runs that were taken on.");
        _ended = meter.CreateCounter<long>("tinymlaas.runs.ended", description: "Runs that ended, by outcome: succeeded, failed or cancelled. A resumed run ends again.");
        _runDuration = meter.CreateSeconds("tinymlaas.run.duration", "From the acceptance of a run to its end, by outcome.");
        _queueWait = meter.CreateSeconds("tinymlaas.step.queue_wait", "From the moment that a step could run to its claim by a worker, by pool.");
        _stepDuration = meter.CreateSeconds("tinymlaas.step.duration", "From the claim of an attempt to its end, by pool, transformer and outcome: succeeded, failed or lost.");
        _attempts = meter.CreateCounter<long>("tinymlaas.attempts", description: "Attempts that ended, by pool and outcome: succeeded, failed or lost.");
        _leases = meter.CreateCounter<long>("tinymlaas.leases.expired", description: "Attempts that ended because nobody renewed their lease or claimed their offer in time, by pool and code.");
        _cached = meter.CreateCounter<long>("tinymlaas.steps.cached", description: "Steps whose result came from the cache, by pool.");
    }

    public override Task TransactionCommittedAsync(DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken = default)
    {
        if (eventData.Context is not OrchestratorDbContext database)
            return Task.CompletedTask;
        Dictionary<Guid, PipelineRun>? runs = null;
        foreach (var entry in database.ChangeTracker.Entries<RunEvent>())
        {
            if (entry.Entity.Message is not { } message)
                continue;
            // A context may commit more than once.
            entry.Entity.Message = null;
            runs ??= database.ChangeTracker.Entries<PipelineRun>().ToDictionary(r => r.Entity.CorrelationId, r => r.Entity);
            if (runs.TryGetValue(entry.Entity.RunId, out var run))
                Count(run, message);
        }
        return Task.CompletedTask;
    }

    private void Count(PipelineRun run, object message)
    {
        switch (message)
        {
            case RunAccepted:
                _accepted.Add(1);
                break;
            case RunSucceeded succeeded:
                Ended(run, RunStates.Succeeded, succeeded.At);
                break;
            case RunFailed failed:
                Ended(run, RunStates.Failed, failed.At);
                break;
            case RunCancelled cancelled:
                Ended(run, RunStates.Cancelled, cancelled.At);
                break;
            case StepStarted started when run.Step(started.Step) is { ReadyAt: { } ready } step:
                // From zero on: the first that runs out would not be seen as one more than before.
                _leases.Add(0, Pool(step), new("code", PipelineRun.HeartbeatTimeout));
                // After a failure it could not run before the pause was over.
                _queueWait.Record((started.At - (ready > step.NotBefore ? ready : step.NotBefore)).TotalSeconds, Pool(step));
                break;
            case StepSucceeded succeeded:
                AttemptEnded(run, succeeded.Step, succeeded.Fence, "succeeded", succeeded.At);
                break;
            case StepFailed { Fence: > 0 } failed:
                _log.LogInformation("Attempt {Attempt} at step {Step} of run {Run} failed with {Code}: {Reason}", failed.Attempt, failed.Step, run.CorrelationId, failed.Failure.Code, failed.Failure.Message);
                AttemptEnded(run, failed.Step, failed.Fence, "failed", failed.At);
                break;
            case StepLost lost:
                _log.LogWarning("Attempt {Attempt} at step {Step} of run {Run} is lost, {Code}: {Reason}", lost.Attempt, lost.Step, run.CorrelationId, lost.Code, lost.Reason);
                AttemptEnded(run, lost.Step, lost.Fence, "lost", lost.At);
                if (run.Step(lost.Step) is { } of)
                    _leases.Add(1, Pool(of), new("code", lost.Code));
                break;
            case StepCached cached when run.Step(cached.Step) is { } step:
                _cached.Add(1, Pool(step));
                break;
        }
    }

    private void Ended(PipelineRun run, string outcome, DateTimeOffset at)
    {
        _log.LogInformation("Run {Run} ended: {Outcome} after {Seconds} s", run.CorrelationId, outcome, (at - run.AcceptedAt).TotalSeconds);
        _ended.Add(1, new KeyValuePair<string, object?>("outcome", outcome));
        _runDuration.Record((at - run.AcceptedAt).TotalSeconds, new KeyValuePair<string, object?>("outcome", outcome));
    }

    private void AttemptEnded(PipelineRun run, int position, long fence, string outcome, DateTimeOffset at)
    {
        if (run.Step(position) is not { } step)
            return;
        KeyValuePair<string, object?> ended = new("outcome", outcome);
        _attempts.Add(1, Pool(step), ended);
        if (step.Attempts.SingleOrDefault(a => a.Fence == fence) is { StartedAt: { } started })
            _stepDuration.Record((at - started).TotalSeconds, Pool(step), new("transformer", step.Uses), ended);
    }

    private static KeyValuePair<string, object?> Pool(RunStep step) => new("pool", step.Worker);
}
