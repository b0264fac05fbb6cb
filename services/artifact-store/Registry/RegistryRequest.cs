using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.Contracts.Registry;

namespace TinyMLaaS.ArtifactStore.Registry;

/// <summary>A request under <c>/v2</c> whose path, and whose right to it, have been looked at.</summary>
/// <param name="Tenant">The owner of the repository, and who asks.</param>
/// <param name="Path">What it is about.</param>
internal sealed record RegistryRequest(TenantName Tenant, RegistryPath Path)
{
    /// <summary>The repository without its tenant.</summary>
    public string Repository => Path.Name;

    /// <summary>Where something of the repository is, for <c>Location</c>.</summary>
    public string At(string rest) => $"{RegistryPath.Root}{Path.Repository}/{rest}";
}
