using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>The owner of a run, with what pipeline-api does for it: it submits until the orchestrator is seen to have the run, and asks for its end until it is heard.</summary>
internal sealed class ModelClient(Simulation simulation, SubmitRun run)
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(10);

    public SubmitRun Run => run;

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
}
