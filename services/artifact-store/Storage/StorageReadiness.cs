using TinyMLaaS.Contracts.Health;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Storage;

internal sealed class StorageReadiness(IArtifactStore store) : IReadinessCheck
{
    public string Service => ArtifactStoreModule.ServiceName;

    public async Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation) =>
        await store.FindFaultAsync(cancellation) is { } fault ? [new MissingService { Service = Service, Reason = fault }] : [];
}
