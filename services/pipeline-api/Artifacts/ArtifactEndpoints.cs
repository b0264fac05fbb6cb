using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Accounts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Accounts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Artifacts;

/// <summary>Files in and out, streamed through to the artifact-store; large ones in parts, so that a connection that is cut costs nothing but time.</summary>
internal static class ArtifactEndpoints
{
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(30);

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/artifacts", StoreAsync).RequireScope(Scopes.ArtifactsWrite)
            .Accepts<byte[]>(RequestBody.AnyType)
            .Produces<ArtifactRef>(200).Produces<ArtifactRef>(201)
            .Produces<Problem>(400, Problems.MediaType).Produces<Problem>(413, Problems.MediaType).Produces<Problem>(422, Problems.MediaType).Produces<Problem>(503, Problems.MediaType)
            .Produces<Problem>(507, Problems.MediaType);
        routes.MapMethods("/v1/artifacts/{digest}", [HttpMethods.Get, HttpMethods.Head], ReadAsync).RequireScope(Scopes.ArtifactsRead)
            .Produces(200, contentType: "application/octet-stream").Produces(206, contentType: "application/octet-stream").Produces(304)
            .Produces<Problem>(400, Problems.MediaType).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(410, Problems.MediaType).Produces(416).Produces<Problem>(503, Problems.MediaType)
            .WithDescription("The last bytes are sent only when all have the digest; 410 artifact-damaged when they do not: storing the artifact again heals it.");
        routes.MapPost("/v1/uploads", BeginUploadAsync).RequireScope(Scopes.ArtifactsWrite)
            .Produces<ArtifactRef>(200).Produces<UploadResource>(202)
            .Produces<Problem>(400, Problems.MediaType).Produces<Problem>(429, Problems.MediaType).Produces<Problem>(503, Problems.MediaType).Produces<Problem>(507, Problems.MediaType)
            .WithDescription("Begins an upload in parts. With the header Tiny-Digest: 200 when the artifact is there already, and an upload of the same that was cut goes on.");
        routes.MapGet("/v1/uploads/{id}", UploadAsync).RequireScope(Scopes.ArtifactsWrite)
            .Produces<UploadResource>(200).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(503, Problems.MediaType)
            .WithDescription("How much of an upload is there: the next part begins at 'received'.");
        routes.MapPatch("/v1/uploads/{id}", UploadAsync).RequireScope(Scopes.ArtifactsWrite)
            .Accepts<byte[]>(RequestBody.AnyType).Produces<UploadResource>(202)
            .Produces<Problem>(400, Problems.MediaType).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(409, Problems.MediaType).Produces<Problem>(413, Problems.MediaType)
            .Produces<Problem>(416, Problems.MediaType).Produces<Problem>(429, Problems.MediaType).Produces<Problem>(503, Problems.MediaType).Produces<Problem>(507, Problems.MediaType)
            .WithDescription("Adds the part that Content-Range: FIRST-LAST names. What arrives before a cut is kept; 416 when the part does not begin where the bytes end.");
        routes.MapPut("/v1/uploads/{id}", EndUploadAsync).RequireScope(Scopes.ArtifactsWrite)
            .Accepts<byte[]>(RequestBody.AnyType).Produces<ArtifactRef>(200).Produces<ArtifactRef>(201)
            .Produces<Problem>(400, Problems.MediaType).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(409, Problems.MediaType).Produces<Problem>(413, Problems.MediaType)
            .Produces<Problem>(416, Problems.MediaType).Produces<Problem>(422, Problems.MediaType).Produces<Problem>(429, Problems.MediaType).Produces<Problem>(503, Problems.MediaType).Produces<Problem>(507, Problems.MediaType)
            .WithDescription("Ends an upload, with a last part as its body or without: the bytes become the artifact ?digest= if they have that digest, and are given up if not.");
        routes.MapDelete("/v1/uploads/{id}", UploadAsync).RequireScope(Scopes.ArtifactsWrite)
            .Produces(204).Produces<Problem>(404, Problems.MediaType).Produces<Problem>(503, Problems.MediaType)
            .WithDescription("Gives an upload up.");
    }

    private static Task<IResult> StoreAsync(HttpContext http, ArtifactStoreUpstream store, string? kind) =>
        store.PassAsync(http, kind is null ? "v1/artifacts" : $"v1/artifacts?kind={Uri.EscapeDataString(kind)}", answerLimit: null);

    private static Task<IResult> BeginUploadAsync(HttpContext http, ArtifactStoreUpstream store, string? kind) =>
        store.PassAsync(http, kind is null ? "v1/uploads" : $"v1/uploads?kind={Uri.EscapeDataString(kind)}", AnswerLimit);

    private static Task<IResult> UploadAsync(HttpContext http, ArtifactStoreUpstream store, string id) => PassUploadAsync(http, store, id, "");

    private static Task<IResult> EndUploadAsync(HttpContext http, ArtifactStoreUpstream store, string id, string? digest) =>
        PassUploadAsync(http, store, id, digest is null ? "" : $"?digest={Uri.EscapeDataString(digest)}");

    // Only an id is passed on, as with digests. What has a body takes the time that the body takes.
    private static async Task<IResult> PassUploadAsync(HttpContext http, ArtifactStoreUpstream store, string id, string query) => Guid.TryParseExact(id, "N", out var name)
        ? await store.PassAsync(http, $"v1/uploads/{name:N}{query}", HttpMethods.IsGet(http.Request.Method) || HttpMethods.IsDelete(http.Request.Method) ? AnswerLimit : null)
        : Problems.Result(StatusCodes.Status404NotFound, "upload-not-found", "There is no such upload",
            $"There is no upload '{Values.Shortened(id)}'. Begin with POST /v1/uploads?kind=KIND.");

    // Only a digest is passed on: dots and slashes would be tidied into another path on the way.
    private static async Task<IResult> ReadAsync(HttpContext http, ArtifactStoreUpstream store, string digest) =>
        Digests.IsDigest(digest)
            ? await store.PassAsync(http, $"v1/artifacts/{digest}", AnswerLimit)
            : ArtifactReferences.InvalidDigest(digest);
}
