using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.ArtifactStore.Uploads;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Registry;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>Blobs in: in one request, in two, in parts that go on after a cut, or out of another repository of the tenant.</summary>
internal sealed class UploadRequests(UploadSessions uploads, IArtifactStore store, RegistryContent content, IOptions<ArtifactStoreOptions> options)
{
    private const string UploadId = "Docker-Upload-UUID";

    public async Task<IResult> BeginAsync(HttpContext http, RegistryRequest request, CancellationToken cancellation)
    {
        var query = http.Request.Query;
        if (query["mount"].ToString() is { Length: > 0 } mount)
        {
            if (!Digest.TryParse(mount, out var wanted))
                return InvalidDigest(mount);
            // Where it is not to be had, the client uploads it.
            if (IsOwn(query["from"].ToString(), request) && await HasAsync(request.Tenant, wanted, cancellation))
                return Created(http, request, wanted);
        }
        else if (query["digest"].ToString() is { Length: > 0 } text)
        {
            if (!Digest.TryParse(text, out var expected))
                return InvalidDigest(text);
            if (http.Request.ContentLength > options.Value.MaxBytes)
                return TooLarge(options.Value.MaxBytes);
            return Answer(http, request, await store.StoreAsync(request.Tenant, StoredKinds.RegistryBlob, http.Request.Body, expected, cancellation), expected);
        }
        return Answer(http, request, await uploads.BeginAsync(request.Tenant, StoredKinds.RegistryBlob, announced: null, cancellation), StatusCodes.Status202Accepted, digest: null);
    }

    public IResult Find(HttpContext http, RegistryRequest request) => Answer(http, request, FindOwn(request), StatusCodes.Status204NoContent, digest: null);

    public async Task<IResult> AppendAsync(HttpContext http, RegistryRequest request, CancellationToken cancellation)
    {
        if (FindOwn(request) is UploadResult.NotFound)
            return UnknownUpload(request);
        return UploadRange.TryRead(http.Request, out var from, out var length, out var wrong)
            ? Answer(http, request, await uploads.AppendAsync(request.Tenant, request.Path.Reference, from, length, http.Request.Body, cancellation), StatusCodes.Status202Accepted, digest: null)
            : RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.BlobUploadInvalid, wrong);
    }

    public async Task<IResult> EndAsync(HttpContext http, RegistryRequest request, CancellationToken cancellation)
    {
        if (FindOwn(request) is UploadResult.NotFound)
            return UnknownUpload(request);
        if (!Digest.TryParse(http.Request.Query["digest"], out var digest))
            return InvalidDigest(http.Request.Query["digest"].ToString());
        return UploadRange.TryRead(http.Request, out var from, out var length, out var wrong)
            ? Answer(http, request, await uploads.EndAsync(request.Tenant, request.Path.Reference, digest, from, length, http.Request.Body, cancellation), StatusCodes.Status202Accepted, digest)
            : RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.BlobUploadInvalid, wrong);
    }

    public async Task<IResult> AbandonAsync(RegistryRequest request, CancellationToken cancellation) =>
        FindOwn(request) is UploadResult.Open && await uploads.AbandonAsync(request.Tenant, request.Path.Reference, cancellation) ? Results.NoContent() : UnknownUpload(request);

    // One that was begun for another kind of artifact is none of the registry.
    private UploadResult FindOwn(RegistryRequest request) =>
        uploads.Find(request.Tenant, request.Path.Reference) is UploadResult.Open { Upload.Kind: StoredKinds.RegistryBlob } open ? open : new UploadResult.NotFound();

    private static bool IsOwn(string from, RegistryRequest request) => from.Length == 0 || (RepositoryNames.IsName(from) && from.StartsWith($"{request.Tenant}/", StringComparison.Ordinal));

    private async Task<bool> HasAsync(TenantName tenant, Digest digest, CancellationToken cancellation)
    {
        try
        {
            await using var found = await content.OpenAsync(tenant, digest, StoredKinds.RegistryBlob, cancellation);
            return found is not null;
        }
        catch (ArtifactDamagedException)
        {
            return false; // The upload heals it.
        }
    }

    private static IResult Answer(HttpContext http, RegistryRequest request, UploadResult result, int status, Digest? digest)
    {
        switch (result)
        {
            case UploadResult.Open open:
                Describe(http, request, open.Upload);
                return Results.StatusCode(status);
            case UploadResult.Ended ended:
                return Answer(http, request, ended.Result, digest);
            case UploadResult.OtherOffset other:
                Describe(http, request, other.Upload);
                return RegistryAnswers.Refuse(StatusCodes.Status416RangeNotSatisfiable, RegistryCodes.BlobUploadInvalid,
                    $"The upload has {other.Upload.Received} bytes, so the next part begins at {other.Upload.Received}. Nothing of this part was taken.");
            case UploadResult.TooLong tooLong:
                Describe(http, request, tooLong.Upload);
                return RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.SizeInvalid,
                    $"The body has more bytes than its Content-Range says. Those of the range were taken: the upload has {tooLong.Upload.Received} bytes.");
            case UploadResult.TakenOver:
                return RegistryAnswers.Refuse(StatusCodes.Status409Conflict, RegistryCodes.BlobUploadInvalid, "Another request goes on with this upload. GET says where it is.");
            case UploadResult.TooMany many:
                return Later(http, $"{many.Most} uploads were begun and have not ended, which is the most (ArtifactStore:MaxUploads). End one with PUT, or give it up with DELETE.");
            case UploadResult.TooManyBytes bytes:
                return Later(http, $"Uploads that were begun hold {bytes.Most} bytes, which is the most (ArtifactStore:MaxUploadBytes). End one with PUT, or give it up with DELETE.");
            default:
                return UnknownUpload(request);
        }
    }

    private static IResult Answer(HttpContext http, RegistryRequest request, StoreResult result, Digest? digest) => result switch
    {
        StoreResult.Stored => Created(http, request, digest!),
        StoreResult.OtherDigest other => RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.DigestInvalid,
            $"The bytes have the digest {other.Actual}, but {digest} is announced. Nothing was stored; send them again.", new JsonObject { ["digest"] = other.Actual.Text }),
        StoreResult.TooLarge large => TooLarge(large.MaxBytes),
        StoreResult.Empty => RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.SizeInvalid, "The blob has no bytes. A blob of none is not taken: an empty body is nearly always a stream that broke."),
        var other => throw new InvalidOperationException($"Unexpected result {other}."),
    };

    private static IResult Created(HttpContext http, RegistryRequest request, Digest digest)
    {
        http.Response.Headers.Location = request.At($"blobs/{digest}");
        http.Response.Headers[RegistryEndpoints.ContentDigest] = digest.Text;
        return Results.StatusCode(StatusCodes.Status201Created);
    }

    private static void Describe(HttpContext http, RegistryRequest request, UploadResource upload)
    {
        http.Response.Headers.Location = request.At($"blobs/uploads/{upload.Id}");
        http.Response.Headers[UploadId] = upload.Id;
        if (upload.Received > 0)
            http.Response.Headers.Range = string.Create(CultureInfo.InvariantCulture, $"0-{upload.Received - 1}");
    }

    private static IResult Later(HttpContext http, string message)
    {
        http.Response.Headers.RetryAfter = "60";
        return RegistryAnswers.Refuse(StatusCodes.Status429TooManyRequests, RegistryCodes.TooManyRequests, message);
    }

    private static IResult UnknownUpload(RegistryRequest request) => RegistryAnswers.Refuse(StatusCodes.Status404NotFound, RegistryCodes.BlobUploadUnknown,
        $"There is no upload '{request.Path.Reference}': it has ended, nothing was added for too long, or it never began.");

    private static IResult InvalidDigest(string got) => RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.DigestInvalid, RegistryPath.InvalidDigest(got));

    private static IResult TooLarge(long maxBytes) =>
        RegistryAnswers.Refuse(StatusCodes.Status413PayloadTooLarge, RegistryCodes.SizeInvalid, $"The store takes at most {maxBytes} bytes (ArtifactStore:MaxBytes). Nothing was stored.");
}
