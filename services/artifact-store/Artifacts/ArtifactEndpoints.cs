using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Artifacts;

/// <summary>
/// Files in and out. The header <c>Tiny-Tenant</c> names the owner of every request. An artifact of no bytes is refused: no kind has a
/// meaning for it, and an empty body is nearly always a stream that broke.
/// </summary>
internal static class ArtifactEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/artifacts", StoreAsync);
        routes.MapMethods("/v1/artifacts/{digest}", [HttpMethods.Get, HttpMethods.Head], ReadAsync);
    }

    private static async Task<IResult> StoreAsync(
        HttpRequest request, string? kind, IArtifactStore store, IOptions<ArtifactStoreOptions> options, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(request.Headers[ServiceHeaders.Tenant], out var tenant))
            return StoreRequest.TenantRefused(request);
        if (kind is null || !ArtifactKinds.All.Contains(kind))
            return StoreRequest.UnknownKind(kind);
        if (!StoreRequest.TryReadExpected(request.Headers, out var expected, out var refusal))
            return refusal!;
        if (request.ContentLength > options.Value.MaxBytes)
            return StoreRequest.TooLarge(options.Value.MaxBytes);
        return StoreRequest.Answer(await store.StoreAsync(tenant, kind, request.Body, expected, cancellation), expected);
    }

    private static async Task<IResult> ReadAsync(HttpContext http, string digest, IArtifactStore store, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(http.Request.Headers[ServiceHeaders.Tenant], out var tenant))
            return StoreRequest.TenantRefused(http.Request);
        if (!Digest.TryParse(digest, out var address))
            return StoreRequest.InvalidDigest(digest);
        StoredArtifact? artifact = null;
        try
        {
            artifact = await store.OpenAsync(tenant, address, cancellation);
            if (artifact is null)
            {
                return Problems.Result(StatusCodes.Status404NotFound, "artifact-not-found", "There is no such artifact",
                    $"No artifact {address} is stored. Upload it with POST /v1/artifacts?kind=KIND.");
            }
            var tag = new EntityTagHeaderValue($"\"{address}\"");
            // A part says nothing about the whole, and whoever has the bytes already needs none.
            var isWhole = HttpMethods.IsGet(http.Request.Method) && http.Request.Headers.Range.Count == 0 && http.Request.Headers.IfNoneMatch.Count == 0 && http.Request.Headers.IfMatch.Count == 0;
            if (!isWhole && HttpMethods.IsGet(http.Request.Method))
                await artifact.Content.VerifyAsync(cancellation);
            // A digest never means other bytes, so what was read once stays true; only the owner may keep it.
            var headers = http.Response.Headers;
            headers.CacheControl = "private, max-age=31536000, immutable";
            headers.XContentTypeOptions = "nosniff";
            headers[ServiceHeaders.ArtifactKind] = artifact.Kinds.ToArray();
            if (!isWhole)
            {
                var content = artifact.Content;
                artifact = null; // The result disposes of it.
                return Results.Stream(content, ArtifactAnswer.MediaType, entityTag: tag, enableRangeProcessing: true);
            }
            var whole = await ArtifactAnswer.BeginAsync(artifact.Content, tag, cancellation);
            artifact = null;
            return whole;
        }
        catch (ArtifactDamagedException damaged)
        {
            http.Response.Headers.Clear();
            return Problems.Result(StatusCodes.Status410Gone, ArtifactDamagedException.Code, "The artifact is damaged", damaged.Message);
        }
        finally
        {
            if (artifact is not null)
                await artifact.Content.DisposeAsync();
        }
    }
}
