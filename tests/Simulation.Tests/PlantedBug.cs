using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Contracts.Steps;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Simulation.Tests.Bus;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>
/// Makes the orchestrator behave as if it had a bug, without touching it: by what reaches it, by what its rows say when it looks, or by what
/// becomes of its writes.
/// </summary>
internal abstract class PlantedBug
{
    /// <summary>In the way of the product's database commands.</summary>
    public virtual IEnumerable<IInterceptor> Interceptors => [];

    /// <summary>Just before a message is handled; null when it never is.</summary>
    public virtual ModelMessage? Before(ModelMessage message, ModelDatabase rows) => message;
}

/// <summary>A result counts for whoever has the lease now, whatever fence it comes with.</summary>
internal sealed class FenceIsNotChecked : PlantedBug
{
    public override ModelMessage? Before(ModelMessage message, ModelDatabase rows) =>
        message.Content is CompleteAttempt late
            && rows.Read("SELECT Number, Fence, Worker FROM step_attempts WHERE RunId = $0 AND Step = $1 AND State = 'running'", late.RunId, late.Step) is [long number, long fence, string worker]
            ? message with { Content = late with { Attempt = (int)number, Fence = fence, Worker = worker } }
            : message;
}

/// <summary>A step that was committed can be committed again.</summary>
internal sealed class RepeatedResultIsAccepted : PlantedBug
{
    public override ModelMessage? Before(ModelMessage message, ModelDatabase rows)
    {
        if (message.Content is CompleteAttempt again
            && rows.Write("UPDATE step_attempts SET State = 'running', EndedAt = NULL WHERE RunId = $0 AND Step = $1 AND Fence = $2 AND State = 'succeeded'", again.RunId, again.Step, again.Fence) > 0)
            rows.Write("UPDATE run_steps SET State = 'running' WHERE RunId = $0 AND Position = $1", again.RunId, again.Step);
        return message;
    }
}

/// <summary>A claim looks at the fence and not at who has the lease.</summary>
internal sealed class ClaimTakesAnothersLease : PlantedBug
{
    public override ModelMessage? Before(ModelMessage message, ModelDatabase rows)
    {
        if (message.Content is ClaimAttempt claim)
            rows.Write("UPDATE step_attempts SET State = 'offered', Worker = NULL WHERE RunId = $0 AND Fence = $1 AND State = 'running' AND Worker <> $2", claim.RunId, claim.Fence, claim.Worker);
        return message;
    }
}

/// <summary>What the sweeper says of leases, and of what runs too long, is not heard.</summary>
internal sealed class LeasesNeverExpire : PlantedBug
{
    public override ModelMessage? Before(ModelMessage message, ModelDatabase rows) => message.Content is LeaseExpired or AttemptExpired or RunExpired ? null : message;
}

/// <summary>What the sweeper says of offers, and of what waits too long, is not heard.</summary>
internal sealed class OffersNeverExpire : PlantedBug
{
    public override ModelMessage? Before(ModelMessage message, ModelDatabase rows) => message.Content is OfferExpired or QueueExpired or RunExpired ? null : message;
}

/// <summary>The wish to end a run is gone with the next message about it.</summary>
internal sealed class CancellationIsForgotten : PlantedBug
{
    public override ModelMessage? Before(ModelMessage message, ModelDatabase rows)
    {
        if (Network.RunOf(message.Content) is { } run)
            rows.Write("UPDATE runs SET CurrentState = 'Running' WHERE CorrelationId = $0 AND CurrentState = 'Cancelling'", run);
        return message;
    }
}

/// <summary>A run that is resumed begins at its first step.</summary>
internal sealed class FinishedStepsAreRepeated : PlantedBug
{
    public override ModelMessage? Before(ModelMessage message, ModelDatabase rows)
    {
        if (message.Content is ResumeRun resume && rows.Write("UPDATE run_steps SET State = 'skipped' WHERE RunId = $0 AND State = 'succeeded' AND RunId IN (SELECT CorrelationId FROM runs WHERE CurrentState IN ('Failed', 'Cancelled'))", resume.RunId) > 0)
            rows.Write("UPDATE step_attempts SET State = 'cancelled' WHERE RunId = $0 AND State = 'succeeded'", resume.RunId);
        return message;
    }
}

/// <summary>A request to go on with a run is heard each time that it is repeated.</summary>
internal sealed class EndedRunsGoOn : PlantedBug
{
    public override ModelMessage? Before(ModelMessage message, ModelDatabase rows)
    {
        if (message.Content is ResumeRun resume)
            rows.Write("UPDATE runs SET CurrentState = 'Failed', ResumeKeys = '[]' WHERE CorrelationId = $0 AND CurrentState = 'Succeeded'", resume.RunId);
        return message;
    }
}

/// <summary>One kind of event is counted and not written.</summary>
internal sealed class EventIsNotWritten : PlantedBug
{
    public override IEnumerable<IInterceptor> Interceptors => [new Drops()];

    private sealed class Drops : SaveChangesInterceptor
    {
        public override ValueTask<InterceptionResult<int>> SavingChangesAsync(DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
        {
            foreach (var entry in eventData.Context!.ChangeTracker.Entries<RunEvent>().Where(e => e.Entity.Type == "io.tinymlaas.step.progressed.v1").ToArray())
                entry.State = EntityState.Detached;
            return ValueTask.FromResult(result);
        }
    }
}
