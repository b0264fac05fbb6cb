using System.Runtime.CompilerServices;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Storage;

namespace TinyMLaaS.PipelineApi.Garbage;

/// <summary>Models, datasets and accepted runs. Names come before runs: a run may keep what a name meant that is deleted meanwhile.</summary>
internal sealed class RequestReferences(PipelineApiDbContext database) : IArtifactReferences
{
    public async IAsyncEnumerable<ArtifactReference> ReadAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (var model in database.Models.AsNoTracking().Select(m => new { m.Tenant, m.Digest }).AsAsyncEnumerable().WithCancellation(cancellation))
            yield return new ArtifactReference { Tenant = model.Tenant, Digest = model.Digest };
        await foreach (var dataset in database.Datasets.AsNoTracking().Select(d => new { d.Tenant, d.Digest }).AsAsyncEnumerable().WithCancellation(cancellation))
            yield return new ArtifactReference { Tenant = dataset.Tenant, Digest = dataset.Digest };
        await foreach (var row in database.AcceptedRuns.AsNoTracking().AsAsyncEnumerable().WithCancellation(cancellation))
        {
            var run = row.Read();
            foreach (var artifact in run.Datasets.Select(d => d.Artifact).OfType<ArtifactRef>().Append(run.Model))
                yield return new ArtifactReference { Tenant = row.Tenant, Digest = artifact.Digest };
        }
    }
}
