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

/// <summary>Files in and out, streamed through to the artifact-store.</summary>
internal static class ArtifactEndpoints
{
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(30);

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/v1/artifacts", StoreAsync).RequireScope(Scopes.ArtifactsWrite)
            .Accepts<byte[]>(RequestBody.AnyType)
            .Produces<ArtifactRef>(200).Produces<ArtifactRef>(201)
            .Produces<Problem>(400, Problems.MediaType).Produces<Problem>(413, Problems.MediaType).Produces<Problem>(422, Problems.MediaType).Produces<Problem>(503, Problems.MediaType);
        routes.MapMethods("/v1/artifacts/{digest}", [HttpMethods.Get, HttpMethods.Head], ReadAsync).RequireScope(Scopes.ArtifactsRead)
            .Produces(200, contentType: "application/octet-stream").Produces(206, contentType: "application/octet-stream").Produces(304)
            .Produces<Problem>(400, Problems.MediaType).Produces<Problem>(404, Problems.MediaType).Produces(416).Produces<Problem>(503, Problems.MediaType);
    }

    private static Task<IResult> StoreAsync(HttpContext http, ArtifactStoreUpstream store, string? kind) =>
        store.PassAsync(http, kind is null ? "v1/artifacts" : $"v1/artifacts?kind={Uri.EscapeDataString(kind)}", answerLimit: null);

    // Only a digest is passed on: dots and slashes would be tidied into another path on the way.
    private static async Task<IResult> ReadAsync(HttpContext http, ArtifactStoreUpstream store, string digest) =>
        Digests.IsDigest(digest)
            ? await store.PassAsync(http, $"v1/artifacts/{digest}", AnswerLimit)
            : ArtifactReferences.InvalidDigest(digest);
}
