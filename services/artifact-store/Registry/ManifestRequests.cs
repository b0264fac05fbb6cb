using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Registry;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>Manifests in and out, the tags that mean them, and the manifests that say something of others.</summary>
internal sealed class ManifestRequests(IArtifactStore store, Repositories repositories, RegistryContent content)
{
    private const int MostTags = 1000;
    private const int MostReferrerBytes = 4 << 20;
    private const string Subject = "OCI-Subject";
    private const string FiltersApplied = "OCI-Filters-Applied";

    public async Task<IResult> ReadAsync(HttpContext http, RegistryRequest request, CancellationToken cancellation)
    {
        if (Resolve(request) is not { } digest || content.FindManifest(request.Tenant, request.Repository, digest) is not { } record)
            return Unknown(request);
        try
        {
            await using var manifest = await content.OpenAsync(request.Tenant, digest, StoredKinds.RegistryManifest, cancellation);
            if (manifest is null)
                return Unknown(request);
            // At most 4 MiB, and only what has the right digest.
            var bytes = new byte[manifest.Length];
            await manifest.ReadExactlyAsync(bytes, cancellation);
            http.Response.Headers[RegistryEndpoints.ContentDigest] = digest.Text;
            http.Response.Headers.XContentTypeOptions = "nosniff";
            return Results.Bytes(bytes, record.MediaType, entityTag: new EntityTagHeaderValue($"\"{digest}\""));
        }
        catch (ArtifactDamagedException damaged)
        {
            return RegistryAnswers.Refuse(StatusCodes.Status404NotFound, RegistryCodes.ManifestUnknown, damaged.Message);
        }
    }

    public async Task<IResult> PutAsync(HttpContext http, RegistryRequest request, CancellationToken cancellation)
    {
        if (http.Request.ContentLength > ManifestDocument.MaxBytes || await ReadBodyAsync(http.Request, cancellation) is not { } bytes)
            return RegistryAnswers.Refuse(StatusCodes.Status413PayloadTooLarge, RegistryCodes.SizeInvalid, $"A manifest has at most {ManifestDocument.MaxBytes} bytes.");
        var mediaType = MediaTypeHeaderValue.TryParse(http.Request.ContentType, out var said) ? said.MediaType.Value : null;
        if (!ManifestDocument.TryRead(bytes, mediaType, out var document, out var wrong))
            return RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.ManifestInvalid, wrong);
        if (await FindMissingAsync(request, document, cancellation) is { } missing)
            return missing;
        Digest? expected = Digest.TryParse(request.Path.Reference, out var named) ? named : null;
        var result = await store.StoreAsync(request.Tenant, StoredKinds.RegistryManifest, new MemoryStream(bytes), expected, cancellation);
        if (result is StoreResult.OtherDigest other)
        {
            return RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.DigestInvalid,
                $"The manifest has the digest {other.Actual}, and not {expected}.", new JsonObject { ["digest"] = other.Actual.Text });
        }
        if (result is not StoreResult.Stored stored || !Digest.TryParse(stored.Artifact.Digest, out var digest))
            return RegistryAnswers.Refuse(StatusCodes.Status413PayloadTooLarge, RegistryCodes.SizeInvalid, "The manifest is more than the store takes (ArtifactStore:MaxBytes).");
        repositories.Put(request.Tenant, request.Repository, digest, bytes.Length, document, isPushed: true, expected is null ? request.Path.Reference : null);
        var headers = http.Response.Headers;
        headers.Location = request.At($"manifests/{digest}");
        headers[RegistryEndpoints.ContentDigest] = digest.Text;
        if (document.Subject is { } subject)
            headers[Subject] = subject.Text;
        return Results.StatusCode(StatusCodes.Status201Created);
    }

    public IResult Delete(RegistryRequest request)
    {
        var deleted = Digest.TryParse(request.Path.Reference, out var digest)
            ? repositories.DeleteManifest(request.Tenant, request.Repository, digest)
            : repositories.DeleteTag(request.Tenant, request.Repository, request.Path.Reference);
        return deleted ? Results.StatusCode(StatusCodes.Status202Accepted) : Unknown(request);
    }

    public IResult ListTags(HttpContext http, RegistryRequest request)
    {
        var most = MostTags;
        if (http.Request.Query["n"].ToString() is { Length: > 0 } text)
        {
            if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var asked))
                return RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.Unsupported, "?n= is no number of tags. Expected a whole number of at least 0.");
            most = Math.Min(most, asked);
        }
        if (!repositories.Manifests(request.Tenant, request.Repository).Any(m => content.FindManifest(request.Tenant, request.Repository, m) is not null))
            return RegistryEndpoints.UnknownRepository(request.Path.Repository);
        var last = http.Request.Query["last"].ToString();
        var tags = repositories.Tags(request.Tenant, request.Repository)
            .Where(tag => string.CompareOrdinal(tag, last) > 0)
            .Where(tag => repositories.FindTag(request.Tenant, request.Repository, tag) is { } digest && content.FindManifest(request.Tenant, request.Repository, digest) is not null)
            .Take(most + 1).ToArray();
        if (most > 0 && tags.Length > most)
            http.Response.Headers.Link = $"<{request.At("tags/list")}?n={most.ToString(CultureInfo.InvariantCulture)}&last={tags[most - 1]}>; rel=\"next\"";
        return Results.Json(new JsonObject { ["name"] = request.Path.Repository, ["tags"] = new JsonArray([.. tags.Take(most).Select(t => JsonValue.Create(t))]) });
    }

    public IResult ListReferrers(HttpContext http, RegistryRequest request)
    {
        var subject = Digest.TryParse(request.Path.Reference, out var parsed) ? parsed : throw new InvalidOperationException($"'{request.Path.Reference}' was read as a digest.");
        var type = http.Request.Query["artifactType"].ToString();
        var last = http.Request.Query["last"].ToString();
        var list = new JsonArray();
        var bytes = 0;
        string? next = null;
        foreach (var (digest, descriptor) in repositories.Referrers(request.Tenant, request.Repository, subject).SkipWhile(r => string.CompareOrdinal(r.Digest.Text, last) <= 0))
        {
            if ((type.Length > 0 && (string?)descriptor["artifactType"] != type) || content.FindManifest(request.Tenant, request.Repository, digest) is null)
                continue;
            bytes += descriptor.ToJsonString().Length;
            // Annotations may be long: an answer is as long as a manifest may be, with one descriptor at least.
            if (list.Count > 0 && bytes > MostReferrerBytes)
            {
                var filter = type.Length > 0 ? $"artifactType={Uri.EscapeDataString(type)}&" : "";
                next = $"<{request.At($"referrers/{subject}")}?{filter}last={(string?)list[^1]!["digest"]}>; rel=\"next\"";
                break;
            }
            list.Add(descriptor);
        }
        if (next is not null)
            http.Response.Headers.Link = next;
        if (type.Length > 0)
            http.Response.Headers[FiltersApplied] = "artifactType";
        return Results.Text(new JsonObject { ["schemaVersion"] = 2, ["mediaType"] = MediaTypes.Index, ["manifests"] = list }.ToJsonString(), MediaTypes.Index);
    }

    // Looking is a use of each: none of it is garbage by the time that the manifest refers to it.
    private async Task<IResult?> FindMissingAsync(RegistryRequest request, ManifestDocument document, CancellationToken cancellation)
    {
        var wanted = document.Blobs.Select(b => (Descriptor: b, Kind: StoredKinds.RegistryBlob)).Concat(document.Manifests.Select(m => (Descriptor: m, Kind: StoredKinds.RegistryManifest)));
        foreach (var (descriptor, kind) in wanted.Distinct())
        {
            var isThere = kind == StoredKinds.RegistryBlob || content.FindManifest(request.Tenant, request.Repository, descriptor.Digest) is not null;
            long? size = null;
            try
            {
                await using var found = isThere ? await content.OpenAsync(request.Tenant, descriptor.Digest, kind, cancellation) : null;
                size = found?.Length;
            }
            catch (ArtifactDamagedException)
            {
                // It has to be pushed again, like what was never there.
            }
            if (size is null)
            {
                return RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.ManifestBlobUnknown,
                    $"The manifest refers to {descriptor.Digest}, which is not there. Push it first.", new JsonObject { ["digest"] = descriptor.Digest.Text });
            }
            if (size != descriptor.Size)
            {
                return RegistryAnswers.Refuse(StatusCodes.Status400BadRequest, RegistryCodes.ManifestInvalid,
                    $"The manifest says that {descriptor.Digest} is {descriptor.Size} bytes long. It is {size}.");
            }
        }
        return null;
    }

    private static async Task<byte[]?> ReadBodyAsync(HttpRequest request, CancellationToken cancellation)
    {
        using var body = new MemoryStream();
        var block = new byte[64 << 10];
        int read;
        while ((read = await request.Body.ReadAsync(block, cancellation)) > 0)
        {
            if (body.Length + read > ManifestDocument.MaxBytes)
                return null;
            body.Write(block, 0, read);
        }
        return body.ToArray();
    }

    private Digest? Resolve(RegistryRequest request) =>
        Digest.TryParse(request.Path.Reference, out var digest) ? digest : repositories.FindTag(request.Tenant, request.Repository, request.Path.Reference);

    private static IResult Unknown(RegistryRequest request) =>
        RegistryAnswers.Refuse(StatusCodes.Status404NotFound, RegistryCodes.ManifestUnknown, $"There is no manifest '{request.Path.Reference}' in {request.Path.Repository}.");
}
