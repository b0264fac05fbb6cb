using System.Net;
using System.Net.Http.Headers;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Artifacts;

/// <summary>The artifact-store.</summary>
internal sealed class ArtifactStoreUpstream(HttpClient http) : Upstream(http, ServiceName)
{
    public const string ServiceName = "artifact-store";

    private static readonly TimeSpan LookUpLimit = TimeSpan.FromSeconds(10);

    /// <summary>The tenant's artifact of a digest as one of <paramref name="kind"/>, and the kinds that it was stored as; both absent when it is not there.</summary>
    /// <exception cref="ServiceUnavailableException">The store does not answer as it should.</exception>
    public async Task<(ArtifactRef? Artifact, IReadOnlyList<string> Kinds)> FindAsync(string tenant, string digest, string kind, CancellationToken cancellation)
    {
        // One byte says as much as HEAD does, and a refusal says why.
        using var request = new HttpRequestMessage(HttpMethod.Get, $"v1/artifacts/{digest}") { Headers = { Range = new RangeHeaderValue(0, 0) } };
        using var response = await SendAsync(request, tenant, LookUpLimit, cancellation) ?? throw new ServiceUnavailableException(ServiceName, "it does not answer");
        // What is damaged has to be uploaded again, like what was never there.
        if (response.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Gone)
            return (null, []);
        if (!response.IsSuccessStatusCode || response.Content.Headers.ContentRange?.Length is not { } size || !response.Headers.TryGetValues(ServiceHeaders.ArtifactKind, out var kinds))
            throw new ServiceUnavailableException(ServiceName, $"it answers {(int)response.StatusCode} to a look-up");
        var known = kinds.ToArray();
        return known.Contains(kind) ? (new ArtifactRef { Digest = digest, Size = size, Kind = kind }, known) : (null, known);
    }
}
