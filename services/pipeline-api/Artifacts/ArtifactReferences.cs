using Microsoft.AspNetCore.Http;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Artifacts;

/// <summary>Digests in requests.</summary>
internal static class ArtifactReferences
{
    private const string Expected = "sha256: and 64 lower-case hexadecimal digits";

    /// <summary>The tenant's stored artifact that a request names; when there is none of that kind, why.</summary>
    /// <exception cref="ServiceUnavailableException">The store does not answer as it should.</exception>
    public static async Task<(ArtifactRef? Artifact, Violation? Violation)> ResolveAsync(
        this ArtifactStoreUpstream store, string tenant, string digest, string kind, string pointer, CancellationToken cancellation)
    {
        if (!Digests.IsDigest(digest))
            return (null, Refuse(pointer, "invalid-digest", $"'{Values.Shortened(digest)}' is no digest. Expected {Expected}."));
        var (artifact, kinds) = await store.FindAsync(tenant, digest, kind, cancellation);
        return (artifact, artifact is not null ? null
            : kinds.Count == 0 ? Refuse(pointer, "unknown-artifact", $"No artifact {digest} is stored. Upload it with POST /v1/artifacts?kind={kind}.")
            : Refuse(pointer, "wrong-kind", $"The artifact {digest} is of kind {string.Join(" and ", kinds)}. Expected {kind}."));
    }

    public static IResult InvalidDigest(string got) => Problems.Result(
        StatusCodes.Status400BadRequest, "invalid-digest", "The digest cannot be read", $"'{Values.Shortened(got)}' is no digest. Expected {Expected}.");

    private static Violation Refuse(string pointer, string code, string message) => new() { Field = pointer, Code = code, Message = message };
}
