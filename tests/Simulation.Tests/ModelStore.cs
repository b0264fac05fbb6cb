using System.Security.Cryptography;
using System.Text;
using TinyMLaaS.Contracts.Artifacts;

namespace TinyMLaaS.Simulation.Tests;

/// <summary>The artifact store: each tenant's files by digest.</summary>
internal sealed class ModelStore
{
    private readonly Dictionary<(string Tenant, string Digest), byte[]> _files = [];

    public ArtifactRef Put(string tenant, string kind, string content)
    {
        var bytes = Encoding.UTF8.GetBytes(content);
        var digest = Digests.FromHash(SHA256.HashData(bytes));
        _files[(tenant, digest)] = bytes;
        return new ArtifactRef { Digest = digest, Size = bytes.Length, Kind = kind };
    }

    public Task<Stream?> OpenAsync(string tenant, string digest, CancellationToken cancellation) =>
        Task.FromResult<Stream?>(_files.TryGetValue((tenant, digest), out var bytes) ? new MemoryStream(bytes) : null);
}
