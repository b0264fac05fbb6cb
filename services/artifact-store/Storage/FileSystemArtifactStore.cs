using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>
/// Artifacts as files: <c>ROOT/TENANT/sha256/ab/HEX</c> holds the bytes, and an empty file <c>HEX.KIND</c> beside it says what they are; its time is
/// that of the last use. Bytes are hashed on their way into <c>ROOT/.incoming</c>, synchronized and then renamed, so a final name is never the name of half
/// a file: whatever interrupts a writer leaves a file in <c>.incoming</c>, which the next start removes. The kind is written first,
/// because it means nothing without the bytes. Bytes that are found damaged become <c>HEX.damaged</c> until good ones are stored.
/// </summary>
internal sealed class FileSystemArtifactStore(IOptions<ArtifactStoreOptions> options, TimeProvider time, ILogger<FileSystemArtifactStore> log) : IArtifactStore, IHostedService, IDisposable
{
    private const string Damaged = "damaged";
    private const int MostVerified = 10_000;
    private const long LeastFree = 16L << 20;
    private static readonly TimeSpan VerifiedFor = TimeSpan.FromMinutes(10);

    // What is at a name changes under its lock: a use, a removal and a replacement never meet. Many names share one.
    private readonly Lock[] _names = [.. Enumerable.Range(0, 64).Select(_ => new Lock())];
    private readonly ConcurrentDictionary<string, Verified> _verified = new(StringComparer.Ordinal);
    private readonly string _root = Path.GetFullPath(options.Value.Root);
    private readonly long _maxBytes = options.Value.MaxBytes;
    private FileStream? _lock;

    private string Incoming => Path.Combine(_root, ".incoming");

    /// <summary>Takes the folder for this process and removes what an interrupted writer left.</summary>
    /// <exception cref="IOException">Another process uses the folder, or it cannot be written.</exception>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(Incoming);
        try
        {
            _lock = new FileStream(Path.Combine(_root, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new IOException($"Cannot use '{_root}' for artifacts: another artifact-store uses it. Stop that one or set ArtifactStore:Root to another folder.", e);
        }
        foreach (var leftover in Directory.EnumerateFiles(Incoming))
            File.Delete(leftover);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        Dispose();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _lock?.Dispose();
        _lock = null;
    }

    /// <inheritdoc/>
    public async Task<StoreResult> StoreAsync(TenantName tenant, string kind, Stream content, Digest? expected, CancellationToken cancellation)
    {
        RequireKind(kind);
        var path = Path.Combine(Incoming, Guid.NewGuid().ToString("N"));
        try
        {
            using var incoming = IncomingFile.Create(path);
            // One byte past the limit is enough to know, so at most that much is ever on disk.
            await incoming.AppendAsync(content, _maxBytes + 1, admit: null, cancellation);
            return await AdoptAsync(tenant, kind, incoming, expected, cancellation);
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <summary>Makes an artifact of received bytes. The file is gone from its place when it is one.</summary>
    public async Task<StoreResult> AdoptAsync(TenantName tenant, string kind, IncomingFile incoming, Digest? expected, CancellationToken cancellation)
    {
        RequireKind(kind);
        if (incoming.Length > _maxBytes)
            return new StoreResult.TooLarge(_maxBytes);
        if (incoming.Length == 0)
            return new StoreResult.Empty();
        var digest = await incoming.FinishAsync(cancellation);
        if (expected is not null && expected != digest)
            return new StoreResult.OtherDigest(digest);
        var created = Keep(incoming.Path, PathOf(tenant, digest), kind);
        return new StoreResult.Stored(new ArtifactRef { Digest = digest.Text, Size = incoming.Length, Kind = kind }, created);
    }

    /// <inheritdoc/>
    public Task<StoredArtifact?> OpenAsync(TenantName tenant, Digest digest, CancellationToken cancellation) => Task.FromResult(Open(tenant, digest, part: null));

    /// <inheritdoc/>
    public Task<StoredArtifact?> OpenPartAsync(TenantName tenant, Digest digest, ArtifactPart part, CancellationToken cancellation) => Task.FromResult(Open(tenant, digest, part));

    /// <inheritdoc/>
    public Task<IReadOnlyList<UnusedFile>> FindUnusedAsync(DateTimeOffset before, (TenantName Tenant, Digest Digest)? after, int most, CancellationToken cancellation)
    {
        var found = new List<UnusedFile>();
        foreach (var tenant in Ordered(Directory.EnumerateDirectories(_root)).Select(name => TenantName.TryParse(name, out var tenant) ? tenant : null).OfType<TenantName>())
        {
            var order = after is { } last ? string.CompareOrdinal(tenant.Text, last.Tenant.Text) : 1;
            var folder = Path.Combine(_root, tenant.Text, "sha256");
            if (order < 0 || !Directory.Exists(folder))
                continue;
            var from = order == 0 ? after!.Value.Digest.Hex : "";
            foreach (var part in Ordered(Directory.EnumerateDirectories(folder)).Where(part => from.Length == 0 || string.CompareOrdinal(part, from[..2]) >= 0))
            {
                cancellation.ThrowIfCancellationRequested();
                foreach (var hex in Ordered(Directory.EnumerateFiles(Path.Combine(folder, part))).Select(name => name.Split('.')[0]).Distinct())
                {
                    if (string.CompareOrdinal(hex, from) <= 0 || !Digest.TryParse(Digests.Prefix + hex, out var digest))
                        continue;
                    var path = PathOf(tenant, digest);
                    if (LastUse(path) is not { } used || used >= before)
                        continue;
                    found.Add(new UnusedFile(tenant, digest, SizeOf(path)));
                    if (found.Count == most)
                        return Task.FromResult<IReadOnlyList<UnusedFile>>(found);
                }
            }
        }
        return Task.FromResult<IReadOnlyList<UnusedFile>>(found);
    }

    /// <inheritdoc/>
    public Task<long?> RemoveUnusedAsync(TenantName tenant, Digest digest, DateTimeOffset before, CancellationToken cancellation)
    {
        var path = PathOf(tenant, digest);
        lock (LockOf(path))
        {
            if (LastUse(path) is not { } used || used >= before)
                return Task.FromResult<long?>(null);
            var size = SizeOf(path);
            // The bytes first: kinds without bytes are no artifact, and the next collection takes them.
            File.Delete(path);
            File.Delete($"{path}.{Damaged}");
            foreach (var kind in KindsOf(path))
                File.Delete($"{path}.{kind}");
            _verified.TryRemove(path, out _);
            return Task.FromResult<long?>(size);
        }
    }

    /// <summary>Every artifact of a kind, each tenant's in the order in which their bytes were stored.</summary>
    public IEnumerable<(TenantName Tenant, Digest Digest)> FindAll(string kind)
    {
        RequireKind(kind);
        foreach (var tenant in Ordered(Directory.EnumerateDirectories(_root)).Select(name => TenantName.TryParse(name, out var tenant) ? tenant : null).OfType<TenantName>())
        {
            var folder = Path.Combine(_root, tenant.Text, "sha256");
            var markers = Directory.Exists(folder) ? Directory.EnumerateFiles(folder, $"*.{kind}", SearchOption.AllDirectories) : [];
            foreach (var marker in markers.OrderBy(m => File.GetLastWriteTimeUtc(Path.ChangeExtension(m, null))))
            {
                if (Digest.TryParse(Digests.Prefix + Path.GetFileNameWithoutExtension(marker), out var digest))
                    yield return (tenant, digest);
            }
        }
    }

    /// <summary>Whether an artifact is there as one of a kind, and was not found damaged. No use of it.</summary>
    public bool Holds(TenantName tenant, Digest digest, string kind) => PathOf(tenant, digest) is var path && File.Exists(path) && File.Exists($"{path}.{kind}");

    /// <summary>Whether an artifact is there, damaged or not. No use of it.</summary>
    public bool Holds(TenantName tenant, Digest digest) => PathOf(tenant, digest) is var path && (File.Exists(path) || File.Exists($"{path}.{Damaged}"));

    /// <inheritdoc/>
    public async Task<string?> FindFaultAsync(CancellationToken cancellation)
    {
        var probe = Path.Combine(Incoming, Guid.NewGuid().ToString("N"));
        try
        {
            try
            {
                await File.WriteAllBytesAsync(probe, [0], cancellation);
            }
            finally
            {
                File.Delete(probe);
            }
            var free = new DriveInfo(_root).AvailableFreeSpace;
            return free >= LeastFree ? null : $"the disk of '{_root}' is full: {free} bytes are free, and at least {LeastFree} are needed";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"'{_root}' cannot be written: {e.Message}";
        }
    }

    private StoredArtifact? Open(TenantName tenant, Digest digest, ArtifactPart? part)
    {
        var path = PathOf(tenant, digest);
        lock (LockOf(path))
        {
            try
            {
                var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, FileOptions.Asynchronous | FileOptions.SequentialScan);
                var kinds = KindsOf(path);
                Use(path, kinds);
                var stamp = StampOf(path);
                if (part is null)
                    return new StoredArtifact(digest, kinds, new ArtifactContent(file, digest, IsVerified(path, stamp), right => Judge(tenant, digest, path, path, stamp, right)));
                // Whatever the whole has been seen to be, its parts are.
                var name = string.Create(CultureInfo.InvariantCulture, $"{path}@{part.Offset}-{part.Length}");
                return new StoredArtifact(part.Digest, kinds, new ArtifactContent(
                    file, part.Digest, IsVerified(path, stamp) || IsVerified(name, stamp), right => Judge(tenant, digest, path, name, stamp, right), part.Offset, part.Length));
            }
            catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
            {
                return File.Exists($"{path}.{Damaged}") ? throw new ArtifactDamagedException(digest) : null;
            }
        }
    }

    private bool IsVerified(string name, Stamp stamp) => _verified.TryGetValue(name, out var lately) && lately.Stamp == stamp && time.GetElapsedTime(lately.At) < VerifiedFor;

    private static void RequireKind(string kind)
    {
        if (!StoredKinds.All.Contains(kind))
            throw new ArgumentException($"'{kind}' is no kind of artifact.", nameof(kind));
    }

    private bool Keep(string incoming, string path, string kind)
    {
        var folder = Path.GetDirectoryName(path)!;
        Durability.CreateFolder(folder);
        bool known;
        lock (LockOf(path))
        {
            known = File.Exists(path) && File.Exists($"{path}.{kind}");
            File.OpenHandle($"{path}.{kind}", FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete).Dispose();
            Use(path, [kind]);
            // Also where there are bytes already: these have just been seen to be right, and those may have been damaged since.
            File.Move(incoming, path, overwrite: true);
            File.Delete($"{path}.{Damaged}");
            Remember(path, StampOf(path));
        }
        Durability.SynchronizeFolder(folder);
        return !known;
    }

    private void Judge(TenantName tenant, Digest digest, string path, string name, Stamp stamp, bool right)
    {
        if (right)
        {
            Remember(name, stamp);
            return;
        }
        lock (LockOf(path))
        {
            // Good bytes may have come meanwhile; they are another file.
            if (!File.Exists(path) || StampOf(path) != stamp)
                return;
            File.Move(path, $"{path}.{Damaged}", overwrite: true);
            _verified.TryRemove(path, out _);
        }
        log.LogError(
            "{Code}: the artifact {Digest} of {Tenant} has another digest on disk than it was stored with. It is served no more; its bytes are in {File}. Storing it again heals it",
            ArtifactDamagedException.Code, digest.Text, tenant.Text, $"{path}.{Damaged}");
    }

    private void Remember(string path, Stamp stamp)
    {
        // Whoever is forgotten is read once more.
        if (_verified.Count >= MostVerified)
            _verified.Clear();
        _verified[path] = new Verified(stamp, time.GetTimestamp());
    }

    private void Use(string path, IEnumerable<string> kinds)
    {
        if (kinds.FirstOrDefault() is { } kind)
            File.SetLastWriteTimeUtc($"{path}.{kind}", time.GetUtcNow().UtcDateTime);
    }

    private static DateTimeOffset? LastUse(string path)
    {
        string[] files = [.. KindsOf(path).Select(kind => $"{path}.{kind}")];
        // Bytes without a kind are nothing that we have made; their own time is the best there is.
        if (files.Length == 0)
            files = [.. new[] { path, $"{path}.{Damaged}" }.Where(File.Exists)];
        return files.Length == 0 ? null : files.Max(file => new DateTimeOffset(File.GetLastWriteTimeUtc(file)));
    }

    private static string[] KindsOf(string path) => [.. StoredKinds.All.Where(kind => File.Exists($"{path}.{kind}"))];

    private static long SizeOf(string path) => new[] { path, $"{path}.{Damaged}" }.Select(file => new FileInfo(file)).Where(file => file.Exists).Sum(file => file.Length);

    private static Stamp StampOf(string path)
    {
        var file = new FileInfo(path);
        return new Stamp(file.Length, file.LastWriteTimeUtc);
    }

    private static IEnumerable<string> Ordered(IEnumerable<string> paths) => paths.Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal);

    private Lock LockOf(string path) => _names[(uint)string.GetHashCode(path, StringComparison.Ordinal) % _names.Length];

    private string PathOf(TenantName tenant, Digest digest) => Path.Combine(_root, tenant.Text, "sha256", digest.Hex[..2], digest.Hex);

    /// <summary>Tells one file at a name from another.</summary>
    private readonly record struct Stamp(long Length, DateTime Written);

    private readonly record struct Verified(Stamp Stamp, long At);
}
