using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using TinyMLaaS.ArtifactStore.Registry;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Artifacts;

/// <summary>
/// Half of a garbage collection, for the service that knows what refers to artifacts. The moment is fixed by the first request: whatever is used after it stays, however long
/// the collection takes, because each removal looks again.
/// </summary>
internal static class UnusedEndpoints
{
    private const int PageSize = 1000;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/unused", FindAsync);
        routes.MapPost("/v1/unused/remove", RemoveAsync);
    }

    private static async Task<IResult> FindAsync(
        double? olderThanSeconds, DateTimeOffset? before, string? afterTenant, string? afterDigest, IArtifactStore store, TimeProvider time, CancellationToken cancellation)
    {
        if (before is null && olderThanSeconds is not >= 0)
            return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", "Expected ?olderThanSeconds= of at least 0, or ?before= of an earlier page.");
        (TenantName, Digest)? after = null;
        if (afterTenant is not null || afterDigest is not null)
        {
            if (!TenantName.TryParse(afterTenant, out var tenant) || !Digest.TryParse(afterDigest, out var digest))
                return Problems.Result(StatusCodes.Status400BadRequest, "invalid-request", "The request is wrong", "Expected the tenant and the digest of the last artifact of the page before.");
            after = (tenant, digest);
        }
        var moment = before ?? time.GetUtcNow() - TimeSpan.FromSeconds(olderThanSeconds!.Value);
        var found = await store.FindUnusedAsync(moment, after, PageSize, cancellation);
        return Results.Ok(new UnusedArtifacts
        {
            Before = moment,
            Artifacts = [.. found.Select(f => new UnusedArtifact { Tenant = f.Tenant.Text, Digest = f.Digest.Text, Size = f.Size })],
        });
    }

    private static async Task<IResult> RemoveAsync(RemoveUnused request, IArtifactStore store, PackagedImages images, CancellationToken cancellation)
    {
        var (count, bytes) = (0, 0L);
        foreach (var artifact in request.Artifacts)
        {
            if (!TenantName.TryParse(artifact.Tenant, out var tenant) || !Digest.TryParse(artifact.Digest, out var digest))
                return StoreRequest.InvalidDigest(artifact.Digest);
            if (await store.RemoveUnusedAsync(tenant, digest, request.Before, cancellation) is not { } freed)
                continue;
            await images.ForgetAsync(tenant, digest);
            count++;
            bytes += freed;
        }
        return Results.Ok(new RemovedArtifacts { Count = count, Bytes = bytes });
    }
}
