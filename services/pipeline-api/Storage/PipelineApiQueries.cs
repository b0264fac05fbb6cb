using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Contracts.Datasets;
using TinyMLaaS.PipelineApi.Transformers;

namespace TinyMLaaS.PipelineApi.Storage;

/// <summary>Reads that several slices need.</summary>
internal static class PipelineApiQueries
{
    public static async Task<Catalogue> ReadCatalogueAsync(this PipelineApiDbContext database, CancellationToken cancellation) =>
        new((await database.Transformers.AsNoTracking().ToListAsync(cancellation)).Select(t => t.Read()));

    /// <summary>The tenant's registered ones among these datasets, by name.</summary>
    public static async Task<Dictionary<string, DatasetRef>> ResolveDatasetsAsync(this PipelineApiDbContext database, string tenant, IReadOnlySet<string> names, CancellationToken cancellation)
    {
        var wanted = names.ToArray();
        return await database.Datasets.AsNoTracking()
            .Where(d => d.Tenant == tenant && wanted.Contains(d.Name))
            .ToDictionaryAsync(d => d.Name, d => new DatasetRef { Name = d.Name, Artifact = d.Artifact }, cancellation);
    }
}
