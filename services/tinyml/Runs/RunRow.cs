using System.Globalization;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Tinyml.Runs;

/// <summary>A line of the progress of a run: a step or an evaluation.</summary>
internal sealed record RunRow(string Name, string State, double Progress, string Detail, double? Seconds, bool Cached)
{
    /// <summary>The rows of a run in the order in which they run.</summary>
    public static IEnumerable<RunRow> Of(RunResource run)
    {
        foreach (var evaluation in run.Evaluations.Where(e => e.AfterStep == 0))
            yield return Of(evaluation);
        foreach (var step in run.Steps)
        {
            yield return new RunRow($"{step.Step} {step.Uses}", step.State, step.Progress, DetailOf(step), step.Seconds, step.Cached);
            foreach (var evaluation in run.Evaluations.Where(e => e.AfterStep == step.Step))
                yield return Of(evaluation);
        }
    }

    private static RunRow Of(EvaluationResource evaluation) => new(
        evaluation.AfterStep == 0 ? "  measure the input" : $"  measure step {evaluation.AfterStep}",
        evaluation.Work.State, evaluation.Work.Progress,
        evaluation.Value is { } value && evaluation.Work.State == StepStates.Succeeded
            ? $"{evaluation.Metric} {value.ToString("0.####", CultureInfo.InvariantCulture)}"
            : DetailOf(evaluation.Work),
        evaluation.Work.Seconds, evaluation.Work.Cached);

    private static string DetailOf(StepResource step) => step.State switch
    {
        StepStates.Failed => step.Failure?.Message ?? "",
        StepStates.Running => step.Activity ?? "",
        StepStates.Pending or StepStates.Offered => step.WaitingFor ?? "",
        _ => "",
    };
}
