using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.PipelineApi.Requests;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Artifacts;

/// <summary>The artifact-store.</summary>
internal sealed class ArtifactStoreUpstream(HttpClient http) : Upstream(http, ServiceName)
{
    public const string ServiceName = "artifact-store";

    private static readonly TimeSpan LookUpLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RemovalLimit = TimeSpan.FromMinutes(5);

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
        // This was a use of it, which keeps it from being collected as garbage while the reference to it is written.
        return known.Contains(kind) ? (new ArtifactRef { Digest = digest, Size = size, Kind = kind }, known) : (null, known);
    }

    /// <summary>Uses an artifact, so that garbage collection leaves it alone for a while; changes nothing when it is not there.</summary>
    /// <exception cref="ServiceUnavailableException">The store does not answer.</exception>
    public async Task UseAsync(string tenant, string digest, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Head, $"v1/artifacts/{digest}");
        using var response = await SendAsync(request, tenant, LookUpLimit, cancellation) ?? throw new ServiceUnavailableException(ServiceName, "it does not answer");
        if ((int)response.StatusCode >= 500)
            throw new ServiceUnavailableException(ServiceName, $"it answers {(int)response.StatusCode} to a look-up");
    }

    /// <summary>Every artifact that manifests need which clients have pushed.</summary>
    /// <exception cref="ServiceUnavailableException">The store does not answer as it should.</exception>
    public IAsyncEnumerable<ArtifactReference> ReadReferencesAsync(CancellationToken cancellation) => ReadReferencesAsync("v1/registry-references", cancellation);

    /// <summary>A page of what was not used lately.</summary>
    /// <param name="olderThan">Not used for so long; counts for the first page.</param>
    /// <param name="last">The page before.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ServiceUnavailableException">The store does not answer as it should.</exception>
    public async Task<UnusedArtifacts> FindUnusedAsync(TimeSpan olderThan, UnusedArtifacts? last, CancellationToken cancellation)
    {
        var query = last is null
            ? string.Create(CultureInfo.InvariantCulture, $"olderThanSeconds={olderThan.TotalSeconds:R}")
            : $"before={Uri.EscapeDataString(last.Before.ToString("O", CultureInfo.InvariantCulture))}&afterTenant={last.Artifacts[^1].Tenant}&afterDigest={last.Artifacts[^1].Digest}";
        return await ReadAsync<UnusedArtifacts>(tenant: null, $"v1/unused?{query}", cancellation) ?? throw new ServiceUnavailableException(ServiceName, "it answers 404");
    }

    /// <summary>Removes artifacts unless they were used meanwhile.</summary>
    /// <exception cref="ServiceUnavailableException">The store does not answer as it should.</exception>
    public async Task<RemovedArtifacts> RemoveUnusedAsync(RemoveUnused remove, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/unused/remove") { Content = JsonContent.Create(remove, options: ContractJson.Options) };
        using var response = await SendAsync(request, tenant: null, RemovalLimit, cancellation) ?? throw new ServiceUnavailableException(ServiceName, "it does not answer");
        if (!response.IsSuccessStatusCode)
            throw new ServiceUnavailableException(ServiceName, $"it answers {(int)response.StatusCode} to a removal");
        return await response.Content.ReadFromJsonAsync<RemovedArtifacts>(ContractJson.Options, cancellation) ?? throw new ServiceUnavailableException(ServiceName, "its answer cannot be read");
    }
}
