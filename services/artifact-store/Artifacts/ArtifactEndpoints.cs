using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Options;
using TinyMLaaS.ArtifactStore.Registry;
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
        HttpRequest request, string? kind, IArtifactStore store, PackagedImages images, IOptions<ArtifactStoreOptions> options, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(request.Headers[ServiceHeaders.Tenant], out var tenant))
            return StoreRequest.TenantRefused(request);
        if (kind is null || !ArtifactKinds.All.Contains(kind))
            return StoreRequest.UnknownKind(kind);
        if (!StoreRequest.TryReadExpected(request.Headers, out var expected, out var refusal))
            return refusal!;
        if (request.ContentLength > options.Value.MaxBytes)
            return StoreRequest.TooLarge(options.Value.MaxBytes);
        var result = await store.StoreAsync(tenant, kind, request.Body, expected, cancellation);
        await images.TakeAsync(tenant, result);
        return StoreRequest.Answer(result, expected);
    }

    private static async Task<IResult> ReadAsync(HttpContext http, string digest, IArtifactStore store, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(http.Request.Headers[ServiceHeaders.Tenant], out var tenant))
            return StoreRequest.TenantRefused(http.Request);
        if (!Digest.TryParse(digest, out var address))
            return StoreRequest.InvalidDigest(digest);
        try
        {
            if (await store.OpenAsync(tenant, address, cancellation) is not { } artifact)
            {
                return Problems.Result(StatusCodes.Status404NotFound, "artifact-not-found", "There is no such artifact",
                    $"No artifact {address} is stored. Upload it with POST /v1/artifacts?kind=KIND.");
            }
            http.Response.Headers[ServiceHeaders.ArtifactKind] = artifact.Kinds.ToArray();
            return await ArtifactAnswer.ForAsync(http, artifact.Content, address, ArtifactAnswer.MediaType, cancellation);
        }
        catch (ArtifactDamagedException damaged)
        {
            http.Response.Headers.Clear();
            return Problems.Result(StatusCodes.Status410Gone, ArtifactDamagedException.Code, "The artifact is damaged", damaged.Message);
        }
    }
}
