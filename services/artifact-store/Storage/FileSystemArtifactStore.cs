using System.Buffers;
using System.Security.Cryptography;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>
/// Artifacts as files: <c>ROOT/TENANT/sha256/ab/HEX</c> holds the bytes, and an empty file <c>HEX.KIND</c> beside it says what they are.
/// Bytes are hashed on their way into <c>ROOT/.incoming</c>, synchronized and then renamed, so a final name is never the name of half
/// a file: whatever interrupts a writer leaves a file in <c>.incoming</c>, which the next start removes. The kind is written first,
/// because it means nothing without the bytes.
/// </summary>
internal sealed class FileSystemArtifactStore(IOptions<ArtifactStoreOptions> options) : IArtifactStore, IHostedService, IDisposable
{
    private const int BufferSize = 128 * 1024;

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
        if (!ArtifactKinds.All.Contains(kind))
            throw new ArgumentException($"'{kind}' is no kind of artifact.", nameof(kind));
        var incoming = Path.Combine(Incoming, Guid.NewGuid().ToString("N"));
        try
        {
            var (digest, size) = await ReceiveAsync(content, incoming, cancellation);
            if (size > _maxBytes)
                return new StoreResult.TooLarge(_maxBytes);
            if (size == 0)
                return new StoreResult.Empty();
            if (expected is not null && expected != digest)
                return new StoreResult.OtherDigest(digest);
            var created = Keep(incoming, PathOf(tenant, digest), kind, size);
            return new StoreResult.Stored(new ArtifactRef { Digest = digest.Text, Size = size, Kind = kind }, created);
        }
        finally
        {
            File.Delete(incoming);
        }
    }

    /// <inheritdoc/>
    public Task<StoredArtifact?> OpenAsync(TenantName tenant, Digest digest, CancellationToken cancellation)
    {
        var path = PathOf(tenant, digest);
        try
        {
            // Whoever reads brings a buffer.
            var content = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0, FileOptions.Asynchronous | FileOptions.SequentialScan);
            var kinds = ArtifactKinds.All.Where(kind => File.Exists($"{path}.{kind}")).ToArray();
            return Task.FromResult<StoredArtifact?>(new StoredArtifact(digest, kinds, content));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return Task.FromResult<StoredArtifact?>(null);
        }
    }

    /// <inheritdoc/>
    public async Task<string?> FindFaultAsync(CancellationToken cancellation)
    {
        var probe = Path.Combine(Incoming, Guid.NewGuid().ToString("N"));
        try
        {
            await File.WriteAllBytesAsync(probe, [0], cancellation);
            File.Delete(probe);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"'{_root}' cannot be written: {e.Message}";
        }
    }

    // One byte past the limit is enough to know, so at most that much is ever on disk.
    private async Task<(Digest Digest, long Size)> ReceiveAsync(Stream content, string path, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            await using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0, FileOptions.Asynchronous);
            long size = 0;
            while (size <= _maxBytes)
            {
                var read = await content.ReadAsync(buffer.AsMemory(0, (int)Math.Min(BufferSize, _maxBytes - size + 1)), cancellation);
                if (read == 0)
                    break;
                size += read;
                hash.AppendData(buffer, 0, read);
                await file.WriteAsync(buffer.AsMemory(0, read), cancellation);
            }
            file.Flush(flushToDisk: true);
            return (Digest.FromHash(hash.GetHashAndReset()), size);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static bool Keep(string incoming, string path, string kind, long size)
    {
        var folder = Path.GetDirectoryName(path)!;
        CreateDurably(folder);
        var marker = $"{path}.{kind}";
        // A file of another length was damaged after it was stored; the good bytes are here, so they replace it.
        var known = new FileInfo(path) is { Exists: true } file && file.Length == size;
        if (known && File.Exists(marker))
            return false;
        // Shared: another writer of the same bytes may be at the same place.
        new FileStream(marker, FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete).Dispose();
        if (!known)
            File.Move(incoming, path, overwrite: true);
        Durability.SynchronizeFolder(folder);
        return true;
    }

    private static void CreateDurably(string folder)
    {
        if (Directory.Exists(folder))
            return;
        var parent = Path.GetDirectoryName(folder)!;
        CreateDurably(parent);
        Directory.CreateDirectory(folder);
        Durability.SynchronizeFolder(parent);
    }

    private string PathOf(TenantName tenant, Digest digest) => Path.Combine(_root, tenant.Text, "sha256", digest.Hex[..2], digest.Hex);
}
