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
    private const string DigestHeader = "Tiny-Digest";
    private const string StandardDigestHeader = "Digest";
    private const string StandardDigestPrefix = "sha-256=";

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/artifacts", StoreAsync);
        routes.MapMethods("/v1/artifacts/{digest}", [HttpMethods.Get, HttpMethods.Head], ReadAsync);
    }

    private static async Task<IResult> StoreAsync(
        HttpRequest request, string? kind, IArtifactStore store, IOptions<ArtifactStoreOptions> options, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(request.Headers[ServiceHeaders.Tenant], out var tenant))
            return TenantRefused(request);
        if (kind is null || !ArtifactKinds.All.Contains(kind))
        {
            return Problems.Result(StatusCodes.Status400BadRequest, "unknown-kind", "The kind of artifact is unknown",
                $"{(kind is null ? "No kind is given" : $"'{kind}' is no kind")}. Expected ?kind= one of {string.Join(", ", ArtifactKinds.All)}.");
        }
        if (!TryReadExpected(request.Headers, out var expected, out var refusal))
            return refusal!;
        if (request.ContentLength > options.Value.MaxBytes)
            return TooLarge(options.Value.MaxBytes);

        return await store.StoreAsync(tenant, kind, request.Body, expected, cancellation) switch
        {
            StoreResult.Stored { Created: true } stored => Results.Created($"/v1/artifacts/{stored.Artifact.Digest}", stored.Artifact),
            StoreResult.Stored stored => Results.Ok(stored.Artifact),
            StoreResult.OtherDigest other => Problems.Result(StatusCodes.Status422UnprocessableEntity, "digest-mismatch", "The bytes are not the announced ones",
                $"The body has the digest {other.Actual}, but the request announces {expected}. Nothing was stored; send it again."),
            StoreResult.TooLarge large => TooLarge(large.MaxBytes),
            StoreResult.Empty => Problems.Result(StatusCodes.Status400BadRequest, "empty-artifact", "There is nothing to store",
                "The body has no bytes. Send the file as the body of the request."),
            var other => throw new InvalidOperationException($"Unexpected result {other}."),
        };
    }

    private static async Task<IResult> ReadAsync(HttpContext http, string digest, IArtifactStore store, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(http.Request.Headers[ServiceHeaders.Tenant], out var tenant))
            return TenantRefused(http.Request);
        if (!Digest.TryParse(digest, out var address))
            return InvalidDigest(digest);
        if (await store.OpenAsync(tenant, address, cancellation) is not { } artifact)
        {
            return Problems.Result(StatusCodes.Status404NotFound, "artifact-not-found", "There is no such artifact",
                $"No artifact {address} is stored. Upload it with POST /v1/artifacts?kind=KIND.");
        }
        // A digest never means other bytes, so what was read once stays true; only the owner may keep it.
        http.Response.Headers.CacheControl = "private, max-age=31536000, immutable";
        http.Response.Headers.XContentTypeOptions = "nosniff";
        http.Response.Headers[ServiceHeaders.ArtifactKind] = artifact.Kinds.ToArray();
        return Results.Stream(artifact.Content, "application/octet-stream", entityTag: new EntityTagHeaderValue($"\"{address}\""), enableRangeProcessing: true);
    }

    private static bool TryReadExpected(IHeaderDictionary headers, out Digest? expected, out IResult? refusal)
    {
        expected = null;
        refusal = null;
        if (headers[DigestHeader].ToString() is { Length: > 0 } own && !Digest.TryParse(own, out expected))
            refusal = InvalidDigest(own);
        if (headers[StandardDigestHeader].ToString() is { Length: > 0 } standard && expected is null && refusal is null)
        {
            var hash = new byte[32];
            if (standard.StartsWith(StandardDigestPrefix, StringComparison.OrdinalIgnoreCase)
                && Convert.TryFromBase64String(standard[StandardDigestPrefix.Length..], hash, out var length)
                && length == hash.Length)
                expected = Digest.FromHash(hash);
            else
                refusal = InvalidDigest(standard);
        }
        return refusal is null;
    }

    private static IResult InvalidDigest(string got) => Problems.Result(StatusCodes.Status400BadRequest, "invalid-digest", "The digest cannot be read",
        $"'{Shortened(got)}' is no digest. Expected sha256: and 64 lower-case hexadecimal digits.");

    private static IResult TenantRefused(HttpRequest request) => Problems.Result(StatusCodes.Status400BadRequest, "invalid-tenant", "The tenant cannot be read",
        $"The header {ServiceHeaders.Tenant} is '{Shortened(request.Headers[ServiceHeaders.Tenant].ToString())}'. Expected 1 to 63 lower-case letters, digits and hyphens.");

    private static IResult TooLarge(long maxBytes) => Problems.Result(StatusCodes.Status413PayloadTooLarge, "artifact-too-large", "The artifact is too large",
        $"The store takes at most {maxBytes} bytes (ArtifactStore:MaxBytes). Nothing was stored.");

    private static string Shortened(string text) => text.Length <= 100 ? text : text[..100] + "...";
}
