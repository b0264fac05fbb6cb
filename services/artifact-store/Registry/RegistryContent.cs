using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>Finds bytes of the registry by their digest: pushed ones are artifacts of their own, those of packaged images lie in the files of these. Finding them is a use, which keeps garbage collection away.</summary>
internal sealed class RegistryContent(FileSystemArtifactStore store, PackagedImages images, Repositories repositories)
{
    /// <summary>Opens a blob, or a manifest; null when the tenant has none.</summary>
    /// <param name="tenant">The owner.</param>
    /// <param name="digest">Its name.</param>
    /// <param name="kind">What it was pushed as.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ArtifactDamagedException">It is there and damaged.</exception>
    public async Task<ArtifactContent?> OpenAsync(TenantName tenant, Digest digest, string kind, CancellationToken cancellation)
    {
        ArtifactDamagedException? damaged = null;
        try
        {
            if (await store.OpenAsync(tenant, digest, cancellation) is { } own)
            {
                if (own.Kinds.Contains(kind))
                    return own.Content;
                await own.Content.DisposeAsync();
            }
        }
        catch (ArtifactDamagedException error)
        {
            damaged = error;
        }
        foreach (var (file, part) in images.Find(tenant, digest))
        {
            try
            {
                if (await store.OpenPartAsync(tenant, file, part, cancellation) is { } found)
                    return found.Content;
            }
            catch (ArtifactDamagedException error)
            {
                damaged = error;
            }
        }
        return damaged is null ? null : throw damaged;
    }

    /// <summary>A manifest that a client may have: what became of it is known, and its bytes are somewhere.</summary>
    public ManifestRecord? FindManifest(TenantName tenant, string repository, Digest digest) =>
        repositories.FindManifest(tenant, repository, digest) is { } record && (record.IsPushed || images.Find(tenant, digest).Count > 0) ? record : null;

    /// <summary>
    /// Every artifact that pushed manifests need, for the service that collects garbage; one may come more than once. Where bytes lie in files of packaged images alone, one of the files is enough: layers that many
    /// images share do not keep all of them.
    /// </summary>
    public IEnumerable<ArtifactReference> References()
    {
        var kept = new HashSet<(string Tenant, Digest File)>();
        foreach (var (tenant, digest, manifest) in repositories.References())
        {
            yield return new ArtifactReference { Tenant = tenant.Text, Digest = digest.Text };
            var files = images.Find(tenant, digest).Keys;
            if (store.Holds(tenant, digest, StoredKinds.RegistryBlob) || store.Holds(tenant, digest, StoredKinds.RegistryManifest) || files.Any(file => kept.Contains((tenant.Text, file))))
                continue;
            // The one that the image came in has all of it.
            var whole = images.Find(tenant, manifest);
            var undamaged = files.Where(file => store.Holds(tenant, file, ArtifactKinds.OciImage)).ToArray();
            if (undamaged.OrderByDescending(whole.ContainsKey).ThenBy(file => file.Hex, StringComparer.Ordinal).FirstOrDefault() is not { } chosen)
                continue;
            kept.Add((tenant.Text, chosen));
            yield return new ArtifactReference { Tenant = tenant.Text, Digest = chosen.Text };
        }
    }
}
