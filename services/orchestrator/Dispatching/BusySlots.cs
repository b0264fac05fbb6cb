using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Dispatching;

/// <summary>Slots that are taken: by attempts that run and by offers that wait to be claimed.</summary>
internal sealed class BusySlots
{
    private readonly Dictionary<(string Worker, string Tenant), int> _counts;

    private BusySlots(Dictionary<(string, string), int> counts) => _counts = counts;

    /// <summary>Those of a worker kind.</summary>
    public int Of(string worker) => _counts.Where(c => c.Key.Worker == worker).Sum(c => c.Value);

    /// <summary>Those of a worker kind that a tenant has.</summary>
    public int Of(string worker, string tenant) => _counts.GetValueOrDefault((worker, tenant));

    /// <summary>One more is taken.</summary>
    public void Take(string worker, string tenant) => _counts[(worker, tenant)] = Of(worker, tenant) + 1;

    /// <summary>One that was taken is not after all.</summary>
    public void Release(string worker, string tenant) => _counts[(worker, tenant)] = Of(worker, tenant) - 1;

    public static async Task<BusySlots> CountAsync(OrchestratorDbContext database, CancellationToken cancellation) => new(await (
        from attempt in database.Attempts.AsNoTracking()
        where attempt.State == AttemptStates.Offered || attempt.State == AttemptStates.Running
        join step in database.Steps on new { attempt.RunId, Position = attempt.Step } equals new { step.RunId, step.Position }
        join run in database.Runs on attempt.RunId equals run.CorrelationId
        group attempt by new { step.Worker, run.Tenant } into slots
        select new { slots.Key.Worker, slots.Key.Tenant, Count = slots.Count() }).ToDictionaryAsync(s => (s.Worker, s.Tenant), s => s.Count, cancellation));
}
