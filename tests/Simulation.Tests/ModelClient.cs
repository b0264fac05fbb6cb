using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>The owner of a run, with what pipeline-api does for it: it submits until the orchestrator is seen to have the run, and asks for its end until it is heard.</summary>
internal sealed class ModelClient(Simulation simulation, SubmitRun run)
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(10);

    private int _resumptions;

    public SubmitRun Run => run;

    /// <summary>True while it waits to hear that the run goes on.</summary>
    public bool IsResuming { get; private set; }

    public void SubmitUntilKnown()
    {
        if (simulation.Knows(run.RunId))
            return;
        Submit();
        simulation.Schedule.After(LookEvery, SubmitUntilKnown);
    }

    public void Submit() => simulation.Network.Publish(run);

    public void Cancel() => simulation.Network.Ask(new CancelRun { Tenant = run.Tenant, RunId = run.RunId, Reason = "as the seed wants it" }, AnswerWithin, answer =>
    {
        if (answer is CancelRunAccepted accepted)
            simulation.Witness.Cancelled(run.RunId, accepted.State);
        else
            simulation.Schedule.After(TimeSpan.FromSeconds(2), Cancel);
    });

    /// <summary>Asks for the run to go on until that is heard.</summary>
    public void Resume()
    {
        if (IsResuming)
            return;
        IsResuming = true;
        Resume($"{run.RunId}-{++_resumptions}");
    }

    private void Resume(string key) => simulation.Network.Ask(new ResumeRun { Tenant = run.Tenant, RunId = run.RunId, Key = key }, AnswerWithin, answer =>
    {
        if (answer is null)
            simulation.Schedule.After(TimeSpan.FromSeconds(2), () => Resume(key));
        else
            IsResuming = false;
    });
}
