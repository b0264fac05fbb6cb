using System.Diagnostics.Metrics;
using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore.Storage;

/// <summary>The store needs a folder that it can write to; how much room there is on its disk is shown as metrics.</summary>
internal sealed class StorageReadiness : IReadinessCheck
{
    private readonly IArtifactStore _store;

    public StorageReadiness(IArtifactStore store, IMeterFactory meters, IOptions<ArtifactStoreOptions> options)
    {
        _store = store;
        var meter = meters.Create(Telemetry.Name);
        // Asked of the file system each time: a disk may become another one below a folder.
        DriveInfo Disk() => new(Path.GetFullPath(options.Value.Root));
        meter.CreateObservableGauge("tinymlaas.artifacts.free", () => Disk().AvailableFreeSpace, "By", "Bytes that are free on the disk of the artifacts.");
        meter.CreateObservableGauge("tinymlaas.artifacts.capacity", () => Disk().TotalSize, "By", "Bytes that the disk of the artifacts has.");
    }

    public string Service => ArtifactStoreModule.ServiceName;

    public async Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation) =>
        await _store.FindFaultAsync(cancellation) is { } fault ? [new MissingService { Service = Service, Reason = fault }] : [];
}
