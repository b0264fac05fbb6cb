using Microsoft.AspNetCore.Http;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Artifacts;

/// <summary>What requests to the store have in common: the tenant, the kind, an announced digest; and how storing ends.</summary>
internal static class StoreRequest
{
    private const string DigestHeader = "Tiny-Digest";
    private const string StandardDigestHeader = "Digest";
    private const string StandardDigestPrefix = "sha-256=";

    public static bool TryReadExpected(IHeaderDictionary headers, out Digest? expected, out IResult? refusal)
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

    /// <summary>The answer to bytes that were all received.</summary>
    public static IResult Answer(StoreResult result, Digest? expected) => result switch
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

    public static IResult UnknownKind(string? kind) => Problems.Result(StatusCodes.Status400BadRequest, "unknown-kind", "The kind of artifact is unknown",
        $"{(kind is null ? "No kind is given" : $"'{Shortened(kind)}' is no kind")}. Expected ?kind= one of {string.Join(", ", ArtifactKinds.All)}.");

    public static IResult InvalidDigest(string got) => Problems.Result(StatusCodes.Status400BadRequest, "invalid-digest", "The digest cannot be read",
        $"'{Shortened(got)}' is no digest. Expected sha256: and 64 lower-case hexadecimal digits.");

    public static IResult TenantRefused(HttpRequest request) => Problems.Result(StatusCodes.Status400BadRequest, "invalid-tenant", "The tenant cannot be read",
        $"The header {ServiceHeaders.Tenant} is '{Shortened(request.Headers[ServiceHeaders.Tenant].ToString())}'. Expected 1 to 63 lower-case letters, digits and hyphens.");

    public static IResult TooLarge(long maxBytes) => Problems.Result(StatusCodes.Status413PayloadTooLarge, "artifact-too-large", "The artifact is too large",
        $"The store takes at most {maxBytes} bytes (ArtifactStore:MaxBytes). Nothing was stored.");

    public static string Shortened(string text) => text.Length <= 100 ? text : text[..100] + "...";
}
