using Microsoft.AspNetCore.Http;
using TinyMLaaS.ArtifactStore.Artifacts;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Registry;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>Blobs out. They belong to the tenant: every repository of it has all of them, so that nothing is pushed or kept twice.</summary>
internal sealed class BlobRequests(RegistryContent content)
{
    public async Task<IResult> ReadAsync(HttpContext http, RegistryRequest request, CancellationToken cancellation)
    {
        var digest = Digest.TryParse(request.Path.Reference, out var parsed) ? parsed : throw new InvalidOperationException($"'{request.Path.Reference}' was read as a digest.");
        try
        {
            if (await content.OpenAsync(request.Tenant, digest, StoredKinds.RegistryBlob, cancellation) is not { } blob)
                return RegistryAnswers.Refuse(StatusCodes.Status404NotFound, RegistryCodes.BlobUnknown, $"There is no blob {digest}.");
            http.Response.Headers[RegistryEndpoints.ContentDigest] = digest.Text;
            return await ArtifactAnswer.ForAsync(http, blob, digest, ArtifactAnswer.MediaType, cancellation);
        }
        catch (ArtifactDamagedException damaged)
        {
            http.Response.Headers.Clear();
            // A client that is to push it takes this as that it has to.
            return RegistryAnswers.Refuse(StatusCodes.Status404NotFound, RegistryCodes.BlobUnknown, damaged.Message);
        }
    }
}
