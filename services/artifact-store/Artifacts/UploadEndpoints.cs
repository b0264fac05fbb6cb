using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using TinyMLaaS.ArtifactStore.Registry;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.ArtifactStore.Uploads;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Artifacts;

/// <summary>
/// Uploads in parts, by the conventions of OCI distribution 1.1: POST begins, PATCH adds with <c>Content-Range: FIRST-LAST</c>, PUT with <c>?digest=</c> ends, GET says how
/// much is there, and 416 too when a part does not follow. <c>Range</c> of an answer is what the server has.
/// </summary>
internal static class UploadEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/uploads", BeginAsync);
        routes.MapGet("/v1/uploads/{id}", Find);
        routes.MapPatch("/v1/uploads/{id}", AppendAsync);
        routes.MapPut("/v1/uploads/{id}", EndAsync);
        routes.MapDelete("/v1/uploads/{id}", AbandonAsync);
    }

    private static async Task<IResult> BeginAsync(HttpContext http, string? kind, UploadSessions uploads, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(http.Request.Headers[ServiceHeaders.Tenant], out var tenant))
            return StoreRequest.TenantRefused(http.Request);
        if (kind is null || !ArtifactKinds.All.Contains(kind))
            return StoreRequest.UnknownKind(kind);
        return StoreRequest.TryReadExpected(http.Request.Headers, out var announced, out var refusal)
            ? Answer(http, await uploads.BeginAsync(tenant, kind, announced, cancellation), StatusCodes.Status202Accepted)
            : refusal!;
    }

    private static IResult Find(HttpContext http, string id, UploadSessions uploads) => TenantName.TryParse(http.Request.Headers[ServiceHeaders.Tenant], out var tenant)
        ? Answer(http, uploads.Find(tenant, id), StatusCodes.Status200OK)
        : StoreRequest.TenantRefused(http.Request);

    private static async Task<IResult> AppendAsync(HttpContext http, string id, UploadSessions uploads, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(http.Request.Headers[ServiceHeaders.Tenant], out var tenant))
            return StoreRequest.TenantRefused(http.Request);
        return UploadRange.TryRead(http.Request, out var from, out var length, out var wrong)
            ? Answer(http, await uploads.AppendAsync(tenant, id, from, length, http.Request.Body, cancellation), StatusCodes.Status202Accepted)
            : InvalidRange(wrong);
    }

    private static async Task<IResult> EndAsync(HttpContext http, string id, string? digest, UploadSessions uploads, PackagedImages images, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(http.Request.Headers[ServiceHeaders.Tenant], out var tenant))
            return StoreRequest.TenantRefused(http.Request);
        if (!Digest.TryParse(digest, out var address))
            return StoreRequest.InvalidDigest(digest ?? "");
        if (!UploadRange.TryRead(http.Request, out var from, out var length, out var wrong))
            return InvalidRange(wrong);
        var result = await uploads.EndAsync(tenant, id, address, from, length, http.Request.Body, cancellation);
        if (result is UploadResult.Ended ended)
            await images.TakeAsync(tenant, ended.Result);
        return Answer(http, result, StatusCodes.Status202Accepted, address);
    }

    private static async Task<IResult> AbandonAsync(HttpContext http, string id, UploadSessions uploads, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(http.Request.Headers[ServiceHeaders.Tenant], out var tenant))
            return StoreRequest.TenantRefused(http.Request);
        return await uploads.AbandonAsync(tenant, id, cancellation) ? Results.NoContent() : NotFound(id);
    }

    private static IResult Answer(HttpContext http, UploadResult result, int status, Digest? digest = null)
    {
        switch (result)
        {
            case UploadResult.Open open:
                Describe(http, open.Upload);
                return Results.Json(open.Upload, statusCode: status);
            case UploadResult.Known known:
                http.Response.Headers.Location = $"/v1/artifacts/{known.Artifact.Digest}";
                return Results.Ok(known.Artifact);
            case UploadResult.Ended ended:
                return StoreRequest.Answer(ended.Result, digest);
            case UploadResult.OtherOffset other:
                Describe(http, other.Upload);
                return Problems.Result(StatusCodes.Status416RangeNotSatisfiable, "upload-offset", "The part does not follow",
                    $"The upload has {other.Upload.Received} bytes, so the next part begins at {other.Upload.Received}. Nothing of this part was taken.");
            case UploadResult.TooLong tooLong:
                Describe(http, tooLong.Upload);
                return Problems.Result(StatusCodes.Status400BadRequest, "invalid-range", "The range cannot be right",
                    $"The body has more bytes than its Content-Range says. Those of the range were taken: the upload has {tooLong.Upload.Received} bytes.");
            case UploadResult.TakenOver:
                return Problems.Result(StatusCodes.Status409Conflict, "upload-taken-over", "Another request goes on with this upload",
                    "While this part was received, another request for the same upload came, which is taken for the same sender on a new connection. GET says where the upload is.");
            case UploadResult.TooMany many:
                http.Response.Headers.RetryAfter = "60";
                return Problems.Result(StatusCodes.Status429TooManyRequests, "too-many-uploads", "Too many uploads were begun",
                    $"The tenant has begun {many.Most} uploads that have not ended, which is the most (ArtifactStore:MaxUploads). End one with PUT, or give it up with DELETE.");
            case UploadResult.TooManyBytes bytes:
                http.Response.Headers.RetryAfter = "60";
                return Problems.Result(StatusCodes.Status429TooManyRequests, "too-many-upload-bytes", "The uploads that were begun hold too much",
                    $"The uploads that the tenant has begun and not ended hold {bytes.Most} bytes, which is the most (ArtifactStore:MaxUploadBytes). End one with PUT, or give it up with DELETE.");
            default:
                return NotFound(http.Request.RouteValues["id"] as string ?? "");
        }
    }

    private static void Describe(HttpContext http, UploadResource upload)
    {
        http.Response.Headers.Location = $"/v1/uploads/{upload.Id}";
        if (upload.Received > 0)
            http.Response.Headers.Range = string.Create(CultureInfo.InvariantCulture, $"0-{upload.Received - 1}");
    }

    private static IResult NotFound(string id) => Problems.Result(StatusCodes.Status404NotFound, "upload-not-found", "There is no such upload",
        $"There is no upload '{StoreRequest.Shortened(id)}': it has ended, nothing was added for too long, or it never began. Begin with POST /v1/uploads?kind=KIND.");

    private static IResult InvalidRange(string detail) => Problems.Result(StatusCodes.Status400BadRequest, "invalid-range", "The range cannot be right", detail);
}
