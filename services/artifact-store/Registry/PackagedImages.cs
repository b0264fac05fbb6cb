using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>
/// Images that lie in the store as files: a pipeline made them, and nobody has to push them. When such a file is stored it is read once, and from then on its manifests and blobs are served out of
/// it. What was found is kept in <c>ROOT/.registry/TENANT/_images/HEX</c> behind its own digest, so that it is believed after a restart. A file that holds no image that could be served is an artifact all the same.
/// </summary>
internal sealed class PackagedImages(FileSystemArtifactStore store, Repositories repositories, ILogger<PackagedImages> log) : BackgroundService
{
    private static readonly int HashBytes = SHA256.HashSizeInBytes;

    private readonly ConcurrentDictionary<(string Tenant, Digest File), PackagedImage> _images = new();
    private readonly ConcurrentDictionary<(string Tenant, Digest Part), IReadOnlyDictionary<Digest, ArtifactPart>> _parts = new();
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    // Of a tenant's files one is taken or forgotten at a time.
    private readonly ConcurrentDictionary<string, SemaphoreSlim> _turns = new(StringComparer.Ordinal);

    /// <summary>Ends when every file has been looked at that was there at the start.</summary>
    public Task Begun => _begun.Task;

    /// <summary>Believes what an earlier process has found. The store must have its folder by then.</summary>
    public override Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var tenant in repositories.Tenants())
        {
            var folder = repositories.ImageFolder(tenant);
            foreach (var path in Directory.Exists(folder) ? Directory.EnumerateFiles(folder) : [])
            {
                if (Digest.TryParse(Digests.Prefix + Path.GetFileName(path), out var file) && Read(path) is { } image)
                    Add(tenant, file, image);
                else
                    File.Delete(path);
            }
        }
        return base.StartAsync(cancellationToken);
    }

    /// <summary>Where bytes of a tenant lie in files of images: the file and the part of it.</summary>
    public IReadOnlyDictionary<Digest, ArtifactPart> Find(TenantName tenant, Digest digest) =>
        _parts.TryGetValue((tenant.Text, digest), out var parts) ? parts : new Dictionary<Digest, ArtifactPart>();

    /// <summary>Makes images of what was just stored, if it is a file of images. Its names mean these images from now on, whatever they meant before.</summary>
    public async Task TakeAsync(TenantName tenant, StoreResult result)
    {
        // A client that goes away does not end it: the file is stored, and without this its image would be missing until the next start.
        if (result is StoreResult.Stored { Artifact: { Kind: ArtifactKinds.OciImage } artifact } && Digest.TryParse(artifact.Digest, out var file))
            await TakeAsync(tenant, file, isNew: true, CancellationToken.None);
    }

    /// <summary>Takes the image of a file out of the registry when the file is gone.</summary>
    public async Task ForgetAsync(TenantName tenant, Digest file)
    {
        if (!_images.ContainsKey((tenant.Text, file)))
            return;
        // Not to be cancelled: the file is gone.
        var turn = TurnOf(tenant);
        await turn.WaitAsync(CancellationToken.None);
        try
        {
            // Stored again meanwhile.
            if (store.Holds(tenant, file) || !_images.TryRemove((tenant.Text, file), out var image))
                return;
            foreach (var part in image.Parts.Select(p => Parse(p.Digest)))
                Change(tenant, part, parts => parts.Remove(file));
            foreach (var manifest in image.Manifests.Select(Parse).Where(m => Find(tenant, m).Count == 0))
            {
                foreach (var repository in image.Repositories)
                    repositories.DeleteManifest(tenant, repository, manifest, evenPushed: false);
            }
            File.Delete(PathOf(tenant, file));
        }
        finally
        {
            turn.Release();
        }
    }

    /// <inheritdoc/>
    // Files that were stored before the registry was there, or just before the process died; and files that went.
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        foreach (var (tenant, file) in _images.Keys)
        {
            if (TenantName.TryParse(tenant, out var owner) && !store.Holds(owner, file))
                await ForgetAsync(owner, file);
        }
        // The newest first, since a name that means something is left alone.
        foreach (var (tenant, file) in store.FindAll(ArtifactKinds.OciImage).Reverse().ToArray())
        {
            stoppingToken.ThrowIfCancellationRequested();
            try
            {
                await TakeAsync(tenant, file, isNew: false, stoppingToken);
            }
            catch (IOException error)
            {
                log.LogWarning("The image in {Digest} of {Tenant} could not be looked at: {Reason}", file.Text, tenant.Text, error.Message);
            }
        }
        _begun.TrySetResult();
    }

    private async Task TakeAsync(TenantName tenant, Digest file, bool isNew, CancellationToken cancellation)
    {
        var turn = TurnOf(tenant);
        await turn.WaitAsync(cancellation);
        try
        {
            // What is known keeps the names that it has by now.
            if (!isNew && _images.ContainsKey((tenant.Text, file)))
                return;
            if (await store.OpenAsync(tenant, file, cancellation) is not { } artifact)
                return;
            await using var content = artifact.Content;
            await content.VerifyAsync(cancellation);
            var image = await TakeAsync(tenant, file, isNew, content, cancellation);
            var json = JsonSerializer.SerializeToUtf8Bytes(image, ContractJson.Options);
            repositories.Write(PathOf(tenant, file), (byte[])[.. SHA256.HashData(json), .. json]);
        }
        catch (ArtifactDamagedException)
        {
            // The store has told it; storing the file again brings it here again.
        }
        finally
        {
            turn.Release();
        }
    }

    private async Task<PackagedImage> TakeAsync(TenantName tenant, Digest file, bool isNew, ArtifactContent content, CancellationToken cancellation)
    {
        PackagedImage image;
        try
        {
            var tar = await ImageTar.ReadAsync(content, cancellation);
            string[] names = [.. tar.Names.Select(n => n.Repository).Distinct()];
            image = new PackagedImage
            {
                Repositories = names,
                Manifests = [.. tar.Manifests.Select(m => m.Digest.Text)],
                Parts = [.. tar.Parts.Select(p => new PackagedPart { Digest = p.Digest.Text, Offset = p.Offset, Length = p.Length })],
            };
            // The bytes before the names, so that no name means nothing.
            Add(tenant, file, image);
            foreach (var repository in names)
            {
                foreach (var manifest in tar.Manifests)
                    repositories.Put(tenant, repository, manifest.Digest, manifest.Size, manifest.Document, isPushed: false, tag: null);
            }
            foreach (var name in tar.Names.Where(n => isNew || repositories.FindTag(tenant, n.Repository, n.Tag) is null))
            {
                var manifest = tar.Manifests.Single(m => m.Digest == name.Digest);
                repositories.Put(tenant, name.Repository, manifest.Digest, manifest.Size, manifest.Document, isPushed: false, name.Tag);
            }
        }
        catch (FormatException error)
        {
            log.LogInformation("The registry has no image of {Digest} of {Tenant}: {Reason}", file.Text, tenant.Text, error.Message);
            image = new PackagedImage { Repositories = [], Manifests = [], Parts = [], Refusal = error.Message };
            Add(tenant, file, image);
        }
        return image;
    }

    private void Add(TenantName tenant, Digest file, PackagedImage image)
    {
        _images[(tenant.Text, file)] = image;
        foreach (var part in image.Parts)
        {
            var digest = Parse(part.Digest);
            Change(tenant, digest, parts => parts[file] = new ArtifactPart(digest, part.Offset, part.Length));
        }
    }

    // Readers have the dictionary that was there when they asked.
    private void Change(TenantName tenant, Digest part, Action<Dictionary<Digest, ArtifactPart>> change)
    {
        var parts = new Dictionary<Digest, ArtifactPart>(Find(tenant, part));
        change(parts);
        if (parts.Count > 0)
            _parts[(tenant.Text, part)] = parts;
        else
            _parts.TryRemove((tenant.Text, part), out _);
    }

    private static PackagedImage? Read(string path)
    {
        var bytes = File.ReadAllBytes(path);
        return bytes.Length > HashBytes && SHA256.HashData(bytes.AsSpan(HashBytes)).AsSpan().SequenceEqual(bytes.AsSpan(0, HashBytes))
            ? JsonSerializer.Deserialize<PackagedImage>(bytes.AsSpan(HashBytes), ContractJson.Options)
            : null;
    }

    private static Digest Parse(string text) => Digest.TryParse(text, out var digest) ? digest : throw new FormatException($"'{text}' is no digest.");

    private SemaphoreSlim TurnOf(TenantName tenant) => _turns.GetOrAdd(tenant.Text, _ => new SemaphoreSlim(1, 1));

    private string PathOf(TenantName tenant, Digest file) => Path.Combine(repositories.ImageFolder(tenant), file.Hex);
}
