using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using TinyMLaaS.ArtifactStore.Artifacts;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Registry;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>
/// OCI distribution 1.1 over the store's files. The first part of a repository's name is its tenant; the header <c>Tiny-Tenant</c> names who asks, and what is another's is unknown. Names hold slashes, so one
/// route takes every path and <see cref="RegistryPath"/> reads it.
/// </summary>
internal static class RegistryEndpoints
{
    public const string ContentDigest = "Docker-Content-Digest";

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.Map($"{RegistryPath.Root}{{**path}}", AnswerAsync).AddEndpointFilter(AnswerFailureAsync);
        routes.MapGet("/v1/registry-references", ReferencesAsync);
    }

    private static async Task<IResult> ReferencesAsync(RegistryContent content, PackagedImages images, CancellationToken cancellation)
    {
        // Before that it is not known which files are needed.
        await images.Begun.WaitAsync(cancellation);
        return Results.Ok(content.References());
    }

    private static async Task<IResult> AnswerAsync(HttpContext http, ManifestRequests manifests, BlobRequests blobs, UploadRequests uploads, CancellationToken cancellation)
    {
        if (!TenantName.TryParse(http.Request.Headers[ServiceHeaders.Tenant], out var tenant))
            return StoreRequest.TenantRefused(http.Request);
        var (path, refusal) = RegistryPath.Read(http.Request.Path.Value ?? "");
        if (path is null)
            return RegistryAnswers.Refuse(refusal!);
        if (path.Tenant != tenant.Text)
            return UnknownRepository(path.Repository);
        var request = new RegistryRequest(tenant, path);
        var method = http.Request.Method;
        var reads = HttpMethods.IsGet(method) || HttpMethods.IsHead(method);
        return path.Resource switch
        {
            RegistryResource.Manifest when reads => await manifests.ReadAsync(http, request, cancellation),
            RegistryResource.Manifest when HttpMethods.IsPut(method) => await manifests.PutAsync(http, request, cancellation),
            RegistryResource.Manifest when HttpMethods.IsDelete(method) => manifests.Delete(request),
            RegistryResource.Tags when HttpMethods.IsGet(method) => manifests.ListTags(http, request),
            RegistryResource.Referrers when HttpMethods.IsGet(method) => manifests.ListReferrers(http, request),
            RegistryResource.Blob when reads => await blobs.ReadAsync(http, request, cancellation),
            RegistryResource.Uploads when HttpMethods.IsPost(method) => await uploads.BeginAsync(http, request, cancellation),
            RegistryResource.Upload when HttpMethods.IsGet(method) => uploads.Find(http, request),
            RegistryResource.Upload when HttpMethods.IsPatch(method) => await uploads.AppendAsync(http, request, cancellation),
            RegistryResource.Upload when HttpMethods.IsPut(method) => await uploads.EndAsync(http, request, cancellation),
            RegistryResource.Upload when HttpMethods.IsDelete(method) => await uploads.AbandonAsync(request, cancellation),
            RegistryResource.Blob when HttpMethods.IsDelete(method) => Unsupported(http, path, "Blobs are not deleted one by one: one that no manifest refers to goes with the garbage."),
            _ => Unsupported(http, path, $"{method} is not for {path.Text}."),
        };
    }

    /// <summary>A repository that the caller does not have.</summary>
    public static IResult UnknownRepository(string repository) => RegistryAnswers.Refuse(StatusCodes.Status404NotFound, RegistryCodes.NameUnknown, $"There is no repository '{repository}'.");

    private static IResult Unsupported(HttpContext http, RegistryPath path, string message)
    {
        http.Response.Headers.Allow = path.Resource switch
        {
            RegistryResource.Manifest => "GET, HEAD, PUT, DELETE",
            RegistryResource.Blob => "GET, HEAD",
            RegistryResource.Uploads => "POST",
            RegistryResource.Upload => "GET, PATCH, PUT, DELETE",
            _ => "GET",
        };
        return RegistryAnswers.Refuse(StatusCodes.Status405MethodNotAllowed, RegistryCodes.Unsupported, message);
    }

    // What goes wrong on the way is said in the words of a registry, too.
    private static async ValueTask<object?> AnswerFailureAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var http = context.HttpContext;
        try
        {
            return await next(context);
        }
        catch (BadHttpRequestException bad)
        {
            return RegistryAnswers.Refuse(bad.StatusCode, RegistryCodes.Unsupported, bad.Message);
        }
        catch (IOException error) when (FullDisk.Is(error))
        {
            http.Response.Headers.RetryAfter = "60";
            return RegistryAnswers.Refuse(StatusCodes.Status507InsufficientStorage, RegistryCodes.Unavailable, "The disk of the registry is full. What an upload has taken stays; go on when there is room.");
        }
    }
}
