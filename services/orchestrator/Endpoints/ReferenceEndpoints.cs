using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Endpoints;

/// <summary>Every artifact that a run or the step cache refers to, of all tenants, for the service that collects garbage. The list is streamed, and may name one more than once.</summary>
internal static class ReferenceEndpoints
{
    public static void Map(IEndpointRouteBuilder routes) =>
        routes.MapGet("/v1/references", (OrchestratorDbContext database, CancellationToken cancellation) => Results.Ok(ReadAsync(database, cancellation)));

    private static async IAsyncEnumerable<ArtifactReference> ReadAsync(OrchestratorDbContext database, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (var run in database.Runs.AsNoTracking().Select(r => new { r.Tenant, r.Submission }).AsAsyncEnumerable().WithCancellation(cancellation))
        {
            foreach (var artifact in Stored(run.Submission.Datasets).Append(run.Submission.Model))
                yield return Of(run.Tenant, artifact);
        }
        var steps = database.Steps.AsNoTracking().Join(database.Runs, s => s.RunId, r => r.CorrelationId, (s, r) => new { r.Tenant, s.Datasets, s.Outputs, s.Report });
        await foreach (var step in steps.AsAsyncEnumerable().WithCancellation(cancellation))
        {
            foreach (var artifact in Stored(step.Datasets.Values).Concat(step.Outputs).Concat(step.Report is { } report ? [report] : []))
                yield return Of(step.Tenant, artifact);
        }
        await foreach (var entry in database.StepCache.AsNoTracking().Select(e => new { e.Tenant, e.Outputs, e.Report }).AsAsyncEnumerable().WithCancellation(cancellation))
        {
            foreach (var artifact in entry.Outputs.Append(entry.Report))
                yield return Of(entry.Tenant, artifact);
        }
    }

    private static IEnumerable<ArtifactRef> Stored(IEnumerable<DatasetRef> datasets) => datasets.Select(d => d.Artifact).OfType<ArtifactRef>();

    private static ArtifactReference Of(string tenant, ArtifactRef artifact) => new() { Tenant = tenant, Digest = artifact.Digest };
}
