using System.Collections.Concurrent;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.ArtifactStore.Uploads;

/// <summary>
/// Uploads that may be cut at any byte and go on: <c>ROOT/.uploads/TENANT/ID.KIND</c>, with <c>.HEX</c> behind it when the digest was announced, holds what has come. The file
/// is all there is, so a session outlives the process; its length is where the next part begins. What comes of it is judged by its digest when it ends, so nothing that
/// happens on the way can make a wrong artifact. Speaks no HTTP.
/// </summary>
internal sealed class UploadSessions(IOptions<ArtifactStoreOptions> options, FileSystemArtifactStore store, TimeProvider time, ILogger<UploadSessions> log) : BackgroundService
{
    private static readonly TimeSpan BetweenSweeps = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<string, UploadSession> _sessions = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, long> _bytes = new(StringComparer.Ordinal);
    private readonly Lock _beginning = new();
    private readonly string _folder = Path.Combine(Path.GetFullPath(options.Value.Root), ".uploads");
    private readonly ArtifactStoreOptions _options = options.Value;

    /// <summary>Takes up what an earlier process has left. The store must have its folder by then.</summary>
    public override Task StartAsync(CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(_folder);
        foreach (var path in Directory.EnumerateFiles(_folder, "*", SearchOption.AllDirectories))
        {
            var parts = Path.GetFileName(path).Split('.');
            Digest? announced = null;
            if (parts.Length is not (2 or 3) || !Guid.TryParseExact(parts[0], "N", out _) || !StoredKinds.All.Contains(parts[1])
                || !TenantName.TryParse(Path.GetFileName(Path.GetDirectoryName(path)), out var tenant)
                || (parts.Length == 3 && !Digest.TryParse(Digests.Prefix + parts[2], out announced)))
            {
                log.LogWarning("{File} is no upload of ours and is left alone", path);
                continue;
            }
            var session = new UploadSession(parts[0], tenant, parts[1], announced, IncomingFile.Continue(path), new DateTimeOffset(File.GetLastWriteTimeUtc(path)));
            _sessions[session.Id] = session;
            Count(session, session.File.Length);
        }
        RemoveExpired();
        return base.StartAsync(cancellationToken);
    }

    /// <summary>
    /// Begins an upload. When the digest is announced: what the tenant has already, of this kind and undamaged, needs no upload; and an upload of the same that nobody
    /// adds to at the moment goes on, so that a sender needs to remember nothing.
    /// </summary>
    public async Task<UploadResult> BeginAsync(TenantName tenant, string kind, Digest? announced, CancellationToken cancellation)
    {
        if (announced is not null && await FindKnownAsync(tenant, kind, announced, cancellation) is { } known)
            return new UploadResult.Known(known);
        lock (_beginning)
        {
            var own = _sessions.Values.Where(s => s.Tenant == tenant && !s.HasEnded).ToArray();
            if (announced is not null && own.FirstOrDefault(s => s.Kind == kind && s.Announced == announced && s.IsIdle) is { } earlier)
                return new UploadResult.Open(Describe(earlier));
            if (own.Length >= _options.MaxUploads)
                return new UploadResult.TooMany(_options.MaxUploads);
            var id = Guid.NewGuid().ToString("N");
            var folder = Path.Combine(_folder, tenant.Text);
            Directory.CreateDirectory(folder);
            var path = Path.Combine(folder, announced is null ? $"{id}.{kind}" : $"{id}.{kind}.{announced.Hex}");
            var session = new UploadSession(id, tenant, kind, announced, IncomingFile.Create(path), time.GetUtcNow());
            _sessions[id] = session;
            return new UploadResult.Open(Describe(session));
        }
    }

    /// <summary>Where an upload is.</summary>
    public UploadResult Find(TenantName tenant, string id) => Get(tenant, id) is { } session ? new UploadResult.Open(Describe(session)) : new UploadResult.NotFound();

    /// <summary>Adds a part.</summary>
    /// <param name="tenant">The owner.</param>
    /// <param name="id">The upload.</param>
    /// <param name="from">Where the part begins; null: wherever the bytes end.</param>
    /// <param name="length">How long it is; null: to the end of <paramref name="content"/>.</param>
    /// <param name="content">Read once. What came before it breaks off is kept.</param>
    /// <param name="cancellation">What came before it fires is kept.</param>
    public async Task<UploadResult> AppendAsync(TenantName tenant, string id, long? from, long? length, Stream content, CancellationToken cancellation)
    {
        if (Get(tenant, id) is not { } session)
            return new UploadResult.NotFound();
        using var turn = await session.TakeAsync(cancellation);
        try
        {
            return await AppendAsync(session, from, length, content, turn.Token) ?? new UploadResult.Open(Describe(session));
        }
        catch (OperationCanceledException) when (turn.Token.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            return new UploadResult.TakenOver();
        }
    }

    /// <summary>Adds the last part, if there is one, and makes an artifact of the bytes if they have this digest. If not, the upload is given up.</summary>
    /// <inheritdoc cref="AppendAsync(TenantName, string, long?, long?, Stream, CancellationToken)"/>
    public async Task<UploadResult> EndAsync(TenantName tenant, string id, Digest digest, long? from, long? length, Stream content, CancellationToken cancellation)
    {
        if (Get(tenant, id) is not { } session)
            return new UploadResult.NotFound();
        using var turn = await session.TakeAsync(cancellation);
        try
        {
            if (await AppendAsync(session, from, length, content, turn.Token) is { } refused)
                return refused;
            var result = await store.AdoptAsync(tenant, session.Kind, session.File, digest, turn.Token);
            // An upload of nothing has only begun.
            if (result is not StoreResult.Empty)
                Remove(session);
            return new UploadResult.Ended(result);
        }
        catch (OperationCanceledException) when (turn.Token.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            return new UploadResult.TakenOver();
        }
    }

    /// <summary>Gives an upload up.</summary>
    /// <returns>False when there is none.</returns>
    public async Task<bool> AbandonAsync(TenantName tenant, string id, CancellationToken cancellation)
    {
        if (Get(tenant, id) is not { } session)
            return false;
        using var turn = await session.TakeAsync(cancellation);
        Remove(session);
        return true;
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(BetweenSweeps, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            RemoveExpired();
    }

    /// <summary>Gives up what nothing was added to for too long.</summary>
    internal void RemoveExpired()
    {
        foreach (var session in _sessions.Values)
        {
            using var turn = session.TryTake();
            if (turn is null || ExpiresAt(session) > time.GetUtcNow())
                continue;
            Remove(session);
            log.LogInformation("Upload {Upload} of {Tenant} is given up with {Bytes} bytes: nothing was added for {Hours} h", session.Id, session.Tenant.Text, session.File.Length, _options.UploadHours);
        }
    }

    // Null when it was taken.
    private async Task<UploadResult?> AppendAsync(UploadSession session, long? from, long? length, Stream content, CancellationToken cancellation)
    {
        if (session.HasEnded)
            return new UploadResult.NotFound();
        if (from is { } start && start != session.File.Length)
            return new UploadResult.OtherOffset(Describe(session));
        if (session.File.Length + (length ?? 0) > _options.MaxBytes)
            return new UploadResult.Ended(new StoreResult.TooLarge(_options.MaxBytes));
        var full = false;
        try
        {
            await session.File.AppendAsync(content, Math.Min(length ?? long.MaxValue, _options.MaxBytes - session.File.Length + 1), count =>
            {
                full = Count(session, count) > _options.MaxUploadBytes;
                if (full)
                    Count(session, -count);
                return !full;
            }, cancellation);
        }
        finally
        {
            session.Touched = time.GetUtcNow();
            // What could not be written is not there.
            Count(session, session.File.Length - session.Counted);
        }
        if (full)
            return new UploadResult.TooManyBytes(_options.MaxUploadBytes);
        if (session.File.Length > _options.MaxBytes)
        {
            // No artifact can come of it any more.
            Remove(session);
            return new UploadResult.Ended(new StoreResult.TooLarge(_options.MaxBytes));
        }
        return length is not null && await content.ReadAsync(new byte[1], cancellation) > 0 ? new UploadResult.TooLong(Describe(session)) : null;
    }

    private async Task<ArtifactRef?> FindKnownAsync(TenantName tenant, string kind, Digest digest, CancellationToken cancellation)
    {
        try
        {
            if (await store.OpenAsync(tenant, digest, cancellation) is not { } artifact)
                return null;
            await using (artifact.Content)
            {
                if (!artifact.Kinds.Contains(kind))
                    return null;
                await artifact.Content.VerifyAsync(cancellation);
                return new ArtifactRef { Digest = digest.Text, Size = artifact.Content.Length, Kind = kind };
            }
        }
        catch (ArtifactDamagedException)
        {
            return null; // The upload heals it.
        }
    }

    private UploadSession? Get(TenantName tenant, string id) =>
        _sessions.TryGetValue(id, out var session) && session.Tenant == tenant && !session.HasEnded
            && (ExpiresAt(session) > time.GetUtcNow() || !session.IsIdle) ? session : null;

    private void Remove(UploadSession session)
    {
        session.HasEnded = true;
        if (!_sessions.TryRemove(session.Id, out _))
            return;
        Count(session, -session.Counted);
        File.Delete(session.File.Path);
        session.Dispose();
    }

    // Whoever has the turn counts.
    private long Count(UploadSession session, long bytes)
    {
        session.Counted += bytes;
        return _bytes.AddOrUpdate(session.Tenant.Text, bytes, (_, sum) => sum + bytes);
    }

    private DateTimeOffset ExpiresAt(UploadSession session) => session.Touched + _options.UploadLife;

    private UploadResource Describe(UploadSession session) => new()
    {
        Id = session.Id,
        Kind = session.Kind,
        Received = session.File.Length,
        ExpiresAt = ExpiresAt(session),
    };
}
