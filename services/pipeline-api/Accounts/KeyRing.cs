using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using TinyMLaaS.Persistence;
using TinyMLaaS.PipelineApi.Storage;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>The keys of all tenants.</summary>
internal sealed class KeyRing(PipelineApiDbContext database, TimeProvider time, ILogger<KeyRing> log)
{
    public const int DefaultDays = 90;
    public const int MostDays = 366;

    /// <summary>How exactly it is known when a key was last used: a write for each request would cost more than the request.</summary>
    private static readonly TimeSpan LastUsedPrecision = TimeSpan.FromMinutes(5);

    /// <summary>Makes a key, or takes the one that is given, and makes its tenant if it does not exist.</summary>
    /// <returns>The row, the key, which is kept nowhere, and whether the tenant is new.</returns>
    public async Task<(KeyRow Row, ApiKey Key, bool NewTenant)> CreateAsync(
        string tenant, string name, IEnumerable<string> scopes, int days, CancellationToken cancellation, ApiKey? given = null)
    {
        var now = time.GetUtcNow();
        var newTenant = !await database.Tenants.AnyAsync(t => t.Name == tenant, cancellation);
        if (newTenant)
        {
            database.Tenants.Add(new TenantRow { Name = tenant, CreatedAt = now });
            try
            {
                await database.SaveChangesAsync(cancellation);
            }
            catch (DbUpdateException error) when (DatabaseErrors.IsConflict(error))
            {
                // Somebody else made it meanwhile.
                database.ChangeTracker.Clear();
                newTenant = false;
            }
        }
        var key = given ?? ApiKey.New();
        var row = new KeyRow
        {
            Id = Guid.CreateVersion7(now),
            Tenant = tenant,
            Name = name,
            Prefix = key.Prefix,
            Hash = key.Hash,
            ScopeText = string.Join(' ', scopes),
            CreatedAt = now,
            ExpiresAt = now + TimeSpan.FromDays(days),
        };
        database.Keys.Add(row);
        await database.SaveChangesAsync(cancellation);
        return (row, key, newTenant);
    }

    /// <summary>The key of this hash, whatever its state; null when there is none.</summary>
    public Task<KeyRow?> FindAsync(string hash, CancellationToken cancellation) => database.Keys.AsNoTracking().SingleOrDefaultAsync(k => k.Hash == hash, cancellation);

    /// <summary>The key of this id, whatever its state; null when there is none.</summary>
    public Task<KeyRow?> FindAsync(Guid id, CancellationToken cancellation) => database.Keys.AsNoTracking().SingleOrDefaultAsync(k => k.Id == id, cancellation);

    /// <summary>True when there is a key that is accepted now.</summary>
    public Task<bool> AnyAsync(CancellationToken cancellation)
    {
        var now = time.GetUtcNow();
        return database.Keys.AnyAsync(k => k.RevokedAt == null && k.ExpiresAt > now, cancellation);
    }

    /// <summary>Notes that a key is used, now and then.</summary>
    public async Task NoteUseAsync(KeyRow key, CancellationToken cancellation)
    {
        var now = time.GetUtcNow();
        if (now - key.LastUsedAt < LastUsedPrecision)
            return;
        try
        {
            await database.Keys.Where(k => k.Id == key.Id).ExecuteUpdateAsync(set => set.SetProperty(k => k.LastUsedAt, now), cancellation);
        }
        catch (DbException error)
        {
            // Not worth the request.
            log.LogDebug(error, "That key {Key} was used could not be noted", key.Id);
        }
    }

    /// <summary>Ends a key; ending it again changes nothing. False when there is none that is visible to <paramref name="tenant"/>.</summary>
    /// <param name="id">The key.</param>
    /// <param name="tenant">Whose keys are looked at; null for those of all.</param>
    /// <param name="cancellation">The request's.</param>
    public async Task<bool> RevokeAsync(Guid id, string? tenant, CancellationToken cancellation)
    {
        if (await database.Keys.SingleOrDefaultAsync(k => k.Id == id && (tenant == null || k.Tenant == tenant), cancellation) is not { } row)
            return false;
        row.RevokedAt ??= time.GetUtcNow();
        await database.SaveChangesAsync(cancellation);
        return true;
    }
}
