using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Options;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Registry;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>
/// Which manifests a repository has, what its tags mean, and who refers to whom. All of it is small files below <c>ROOT/.registry/TENANT/NAME</c>, whole or absent: <c>_manifests/HEX</c>, <c>_tags/TAG</c>,
/// <c>_referrers/HEX/HEX</c>. Parts of a name never begin with an underscore. The bytes are in the store, or in the file of a packaged image.
/// </summary>
internal sealed class Repositories(IOptions<ArtifactStoreOptions> options)
{
    private const string ManifestFolder = "_manifests";
    private const string TagFolder = "_tags";
    private const string ReferrerFolder = "_referrers";

    private readonly string _root = Path.Combine(Path.GetFullPath(options.Value.Root), ".registry");
    private readonly string _incoming = Path.Combine(Path.GetFullPath(options.Value.Root), ".incoming");

    // A tag is written, and a manifest removed with its tags, one after the other.
    private readonly Lock[] _repositories = [.. Enumerable.Range(0, 64).Select(_ => new Lock())];

    /// <summary>A manifest; null when the repository has none of this digest.</summary>
    public ManifestRecord? FindManifest(TenantName tenant, string repository, Digest digest) => Read<ManifestRecord>(ManifestPath(FolderOf(tenant, repository), digest));

    /// <summary>What a tag means; null when there is none.</summary>
    public Digest? FindTag(TenantName tenant, string repository, string tag) =>
        TryReadText(TagPath(FolderOf(tenant, repository), tag), out var text) && Digest.TryParse(text, out var digest) ? digest : null;

    /// <summary>Tags in the order of their characters.</summary>
    public IReadOnlyList<string> Tags(TenantName tenant, string repository) => NamesIn(Path.Combine(FolderOf(tenant, repository), TagFolder));

    /// <summary>Manifests in the order of their digests.</summary>
    public IEnumerable<Digest> Manifests(TenantName tenant, string repository) => DigestsIn(Path.Combine(FolderOf(tenant, repository), ManifestFolder));

    /// <summary>Descriptors of the manifests that name <paramref name="subject"/>, in the order of their digests.</summary>
    public IEnumerable<(Digest Digest, JsonObject Descriptor)> Referrers(TenantName tenant, string repository, Digest subject)
    {
        var folder = ReferrersPath(FolderOf(tenant, repository), subject);
        foreach (var digest in DigestsIn(folder))
        {
            // One that is deleted meanwhile, or whose manifest was never written because the power went, is none.
            if (Read<JsonObject>(Path.Combine(folder, digest.Hex)) is { } descriptor && FindManifest(tenant, repository, digest) is not null)
                yield return (digest, descriptor);
        }
    }

    /// <summary>Adds a manifest and lets a tag mean it. The same again changes nothing; what was pushed once stays pushed.</summary>
    public void Put(TenantName tenant, string repository, Digest digest, long size, ManifestDocument document, bool isPushed, string? tag)
    {
        var folder = FolderOf(tenant, repository);
        lock (LockOf(folder))
        {
            var known = FindManifest(tenant, repository, digest);
            if (document.Subject is { } subject)
                WriteJson(Path.Combine(ReferrersPath(folder, subject), digest.Hex), Descriptor(digest, size, document));
            if (known is null || (isPushed && !known.IsPushed))
            {
                WriteJson(ManifestPath(folder, digest), new ManifestRecord
                {
                    MediaType = document.MediaType,
                    Size = size,
                    IsPushed = isPushed,
                    Blobs = [.. document.Blobs.Select(b => b.Digest.Text).Distinct()],
                    Manifests = [.. document.Manifests.Select(m => m.Digest.Text).Distinct()],
                    Subject = document.Subject?.Text,
                });
            }
            if (tag is not null)
                Write(TagPath(folder, tag), Encoding.ASCII.GetBytes(digest.Text));
        }
    }

    /// <summary>Removes a tag, and nothing else.</summary>
    /// <returns>False when there is none.</returns>
    public bool DeleteTag(TenantName tenant, string repository, string tag)
    {
        var folder = FolderOf(tenant, repository);
        lock (LockOf(folder))
            return Delete(TagPath(folder, tag));
    }

    /// <summary>Removes a manifest with the tags that mean it.</summary>
    /// <param name="tenant">The owner.</param>
    /// <param name="repository">Without the tenant.</param>
    /// <param name="digest">The manifest.</param>
    /// <param name="evenPushed">False to leave one alone that a client has pushed.</param>
    /// <returns>False when there is none.</returns>
    public bool DeleteManifest(TenantName tenant, string repository, Digest digest, bool evenPushed = true)
    {
        var folder = FolderOf(tenant, repository);
        lock (LockOf(folder))
        {
            if (FindManifest(tenant, repository, digest) is not { } record || (record.IsPushed && !evenPushed))
                return false;
            foreach (var tag in Tags(tenant, repository).Where(tag => FindTag(tenant, repository, tag) == digest))
                Delete(TagPath(folder, tag));
            if (Digest.TryParse(record.Subject, out var subject))
                Delete(Path.Combine(ReferrersPath(folder, subject), digest.Hex));
            return Delete(ManifestPath(folder, digest));
        }
    }

    /// <summary>All that pushed manifests are made of, themselves included; one may come more than once.</summary>
    public IEnumerable<RepositoryReference> References()
    {
        foreach (var tenantFolder in Folders(_root))
        {
            if (!TenantName.TryParse(Path.GetFileName(tenantFolder), out var tenant))
                continue;
            foreach (var folder in RepositoriesIn(tenantFolder))
            {
                var repository = Path.GetRelativePath(tenantFolder, folder).Replace(Path.DirectorySeparatorChar, '/');
                var seen = new HashSet<Digest>();
                var open = new Stack<Digest>(Manifests(tenant, repository).Where(m => FindManifest(tenant, repository, m) is { IsPushed: true }));
                while (open.TryPop(out var digest))
                {
                    if (!seen.Add(digest))
                        continue;
                    yield return new RepositoryReference(tenant, digest, digest);
                    if (FindManifest(tenant, repository, digest) is not { } record)
                        continue;
                    foreach (var blob in record.Blobs)
                    {
                        if (Digest.TryParse(blob, out var name))
                            yield return new RepositoryReference(tenant, name, digest);
                    }
                    foreach (var manifest in record.Manifests)
                    {
                        if (Digest.TryParse(manifest, out var child))
                            open.Push(child);
                    }
                }
            }
        }
    }

    /// <summary>Where the registry keeps what it has found out about a tenant's packaged images.</summary>
    public string ImageFolder(TenantName tenant) => Path.Combine(_root, tenant.Text, "_images");

    /// <summary>Tenants that have anything here.</summary>
    public IEnumerable<TenantName> Tenants() => Folders(_root).Select(f => TenantName.TryParse(Path.GetFileName(f), out var tenant) ? tenant : null).OfType<TenantName>();

    /// <summary>Writes a file whole.</summary>
    public void Write(string path, ReadOnlySpan<byte> content) => Durability.WriteFile(path, content, Path.Combine(_incoming, Guid.NewGuid().ToString("N")));

    private void WriteJson<T>(string path, T content) => Write(path, JsonSerializer.SerializeToUtf8Bytes(content, ContractJson.Options));

    private static JsonObject Descriptor(Digest digest, long size, ManifestDocument document)
    {
        var descriptor = new JsonObject { ["mediaType"] = document.MediaType, ["digest"] = digest.Text, ["size"] = size };
        if (document.ArtifactType is { } type)
            descriptor["artifactType"] = type;
        if (document.Annotations is { Count: > 0 } annotations)
            descriptor["annotations"] = annotations.DeepClone();
        return descriptor;
    }

    private static IEnumerable<string> RepositoriesIn(string folder)
    {
        foreach (var child in Folders(folder).Where(f => Path.GetFileName(f)[0] != '_'))
        {
            if (Directory.Exists(Path.Combine(child, ManifestFolder)))
                yield return child;
            foreach (var deeper in RepositoriesIn(child))
                yield return deeper;
        }
    }

    private static IEnumerable<string> Folders(string folder) => Directory.Exists(folder) ? Directory.EnumerateDirectories(folder) : [];

    private static string[] NamesIn(string folder) =>
        Directory.Exists(folder) ? [.. Directory.EnumerateFiles(folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)] : [];

    private static IEnumerable<Digest> DigestsIn(string folder) => NamesIn(folder).Select(name => Digest.TryParse(Digests.Prefix + name, out var digest) ? digest : null).OfType<Digest>();

    private static bool Delete(string path)
    {
        if (!File.Exists(path))
            return false;
        File.Delete(path);
        Durability.SynchronizeFolder(Path.GetDirectoryName(path)!);
        return true;
    }

    private static T? Read<T>(string path) where T : class => TryReadText(path, out var text) ? JsonSerializer.Deserialize<T>(text, ContractJson.Options) : null;

    private static bool TryReadText(string path, [NotNullWhen(true)] out string? text)
    {
        try
        {
            text = File.ReadAllText(path);
            return true;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            text = null;
            return false;
        }
    }

    private static string ManifestPath(string folder, Digest digest) => Path.Combine(folder, ManifestFolder, digest.Hex);

    private static string TagPath(string folder, string tag) => RepositoryNames.IsTag(tag) ? Path.Combine(folder, TagFolder, tag) : throw new ArgumentException($"'{tag}' is no tag.", nameof(tag));

    private static string ReferrersPath(string folder, Digest subject) => Path.Combine(folder, ReferrerFolder, subject.Hex);

    private Lock LockOf(string folder) => _repositories[(uint)string.GetHashCode(folder, StringComparison.Ordinal) % _repositories.Length];

    private string FolderOf(TenantName tenant, string repository) => RepositoryNames.IsName(repository)
        ? Path.Combine(_root, tenant.Text, repository)
        : throw new ArgumentException($"'{repository}' is no name of a repository.", nameof(repository));
}
