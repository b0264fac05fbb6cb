using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestrator.Endpoints;

/// <summary>Runs as HTTP shows them.</summary>
internal static class RunResources
{
    public static RunResource Of(PipelineRun run, WaitingReasons waiting) => new()
    {
        Id = run.CorrelationId,
        Tenant = run.Tenant,
        State = run.PublicState,
        ModelName = run.Submission.ModelName,
        Model = run.Submission.Model,
        Pipeline = run.Submission.Pipeline,
        Datasets = run.Submission.Datasets,
        Steps = [.. run.Steps.Where(s => !s.IsEvaluation).OrderBy(s => s.Position).Select(s => Of(run, s, waiting))],
        Evaluations = [.. run.Steps.Where(s => s.IsEvaluation).OrderBy(s => s.Position).Select(s => Evaluation(run, s, waiting))],
        Failure = run.Failure,
        Priority = run.Priority,
        Labels = run.Submission.Labels,
        Sequence = run.Sequence,
        Resumptions = run.Resumptions,
        AcceptedAt = run.AcceptedAt,
        StartedAt = run.StartedAt,
        EndedAt = run.EndedAt,
    };

    public static StepResource Of(PipelineRun run, RunStep step, WaitingReasons waiting) => new()
    {
        Step = step.Position,
        Uses = step.Uses,
        State = step.State,
        Cached = step.Cached,
        CacheMiss = step.CacheMiss,
        WaitingFor = waiting.Of(run, step),
        Progress = step.Progress,
        Activity = step.Activity,
        Seconds = step is { State: StepStates.Succeeded, StartedAt: { } started, EndedAt: { } ended } ? (ended - started).TotalSeconds : null,
        Outputs = step.Outputs,
        Report = step.Report,
        Metrics = step.Metrics,
        Failure = step.Failure,
        Attempts = [.. step.Attempts.OrderBy(a => a.Number).Select(a => new AttemptResource
        {
            Attempt = a.Number,
            Fence = a.Fence,
            State = a.State,
            Worker = a.Worker,
            OfferedAt = a.OfferedAt,
            StartedAt = a.StartedAt,
            EndedAt = a.EndedAt,
            Failure = a.Failure,
        })],
    };

    private static EvaluationResource Evaluation(PipelineRun run, RunStep step, WaitingReasons waiting)
    {
        var metric = run.Submission.Pipeline.Evaluate!.Metric;
        return new EvaluationResource
        {
            AfterStep = step.EvaluatesAfter!.Value,
            Metric = metric,
            Value = step.Metrics.TryGetValue(metric, out var value) ? value : null,
            Work = Of(run, step, waiting),
        };
    }
}
