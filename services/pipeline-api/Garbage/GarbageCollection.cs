using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Artifacts;

namespace TinyMLaaS.PipelineApi.Garbage;

/// <summary>
/// Removes artifacts that nothing refers to and that nobody has used for the retention: mark and sweep.
/// </summary>
/// <remarks>
/// Why nothing that is referred to goes. Every reference to an artifact is written within the retention D after a use of it: it was stored, or looked up because somebody names
/// it, or was named by what is deleted now (which uses it). A collection begins at T and removes only what was last used before T - D. Let a reference be written at C, after a use
/// at U with C - D &lt; U. If C &lt; T, reading the references, which begins after T, finds it, or finds what it was handed on to: sources are read in the order in which references are
/// handed on. If C &gt;= T, then U &gt; T - D, and the store does not remove it, because it looks at the last use under the lock of its name. Nothing is kept between collections, so one that
/// dies needs no repair, and two at once do no harm.
/// </remarks>
internal sealed class GarbageCollection(ArtifactStoreUpstream store, IEnumerable<IArtifactReferences> sources)
{
    /// <summary>Collects once.</summary>
    /// <param name="retention">Longer than any reference may be written after the artifact was stored or looked up.</param>
    /// <param name="dryRun">True to look and remove nothing.</param>
    /// <param name="cancellation">Stops it; what is removed by then is removed.</param>
    /// <exception cref="Requests.ServiceUnavailableException">Somebody who has to say what is referred to, or the store, does not answer; nothing more is removed.</exception>
    public async Task<GarbageReport> CollectAsync(TimeSpan retention, bool dryRun, CancellationToken cancellation)
    {
        // The first page fixes the moment; the references are read after it.
        var page = await store.FindUnusedAsync(retention, last: null, cancellation);
        var references = new HashSet<ArtifactReference>();
        if (page.Artifacts.Count > 0)
        {
            foreach (var source in sources)
            {
                await foreach (var reference in source.ReadAsync(cancellation))
                    references.Add(reference);
            }
        }
        var report = new GarbageReport { DryRun = dryRun, Before = page.Before, Unused = 0, Referenced = 0, Removed = 0, Bytes = 0 };
        for (; page.Artifacts.Count > 0; page = await store.FindUnusedAsync(retention, page, cancellation))
        {
            var garbage = page.Artifacts.Where(a => !references.Contains(Of(a))).ToArray();
            var removed = dryRun || garbage.Length == 0
                ? new RemovedArtifacts { Count = garbage.Length, Bytes = garbage.Sum(a => a.Size) }
                : await store.RemoveUnusedAsync(new RemoveUnused { Before = page.Before, Artifacts = [.. garbage.Select(Of)] }, cancellation);
            report = report with
            {
                Unused = report.Unused + page.Artifacts.Count,
                Referenced = report.Referenced + page.Artifacts.Count - garbage.Length,
                Removed = report.Removed + removed.Count,
                Bytes = report.Bytes + removed.Bytes,
            };
        }
        return report;
    }

    private static ArtifactReference Of(UnusedArtifact artifact) => new() { Tenant = artifact.Tenant, Digest = artifact.Digest };
}
