using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.ArtifactStore.Artifacts;
using TinyMLaaS.ArtifactStore.Registry;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.ArtifactStore.Uploads;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore;

/// <summary>Content-addressed files over HTTP, and an OCI registry over the same files. Options: section <c>ArtifactStore</c>; <c>Root</c>, a folder, is required.</summary>
public sealed class ArtifactStoreModule : ServiceModule
{
    internal const string ServiceName = "artifact-store";

    /// <inheritdoc/>
    public override string Name => ServiceName;

    /// <inheritdoc/>
    public override bool UsesBus => false;

    /// <inheritdoc/>
    public override void AddServices(IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<ArtifactStoreOptions>().BindConfiguration(ArtifactStoreOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        builder.Services.AddSingleton<FileSystemArtifactStore>();
        builder.Services.AddSingleton<IArtifactStore>(services => services.GetRequiredService<FileSystemArtifactStore>());
        builder.Services.AddHostedService(services => services.GetRequiredService<FileSystemArtifactStore>());
        // Behind the store, which takes the folder.
        builder.Services.AddSingleton<UploadSessions>();
        builder.Services.AddHostedService(services => services.GetRequiredService<UploadSessions>());
        builder.Services.AddSingleton<Repositories>();
        builder.Services.AddSingleton<PackagedImages>();
        builder.Services.AddHostedService(services => services.GetRequiredService<PackagedImages>());
        builder.Services.AddSingleton<RegistryContent>();
        builder.Services.AddSingleton<ManifestRequests>();
        builder.Services.AddSingleton<BlobRequests>();
        builder.Services.AddSingleton<UploadRequests>();
        builder.Services.AddSingleton<IReadinessCheck, StorageReadiness>();
    }

    /// <inheritdoc/>
    public override void MapEndpoints(IEndpointRouteBuilder routes)
    {
        var open = routes.MapGroup("");
        open.AddEndpointFilter(FullDisk.AnswerAsync);
        ArtifactEndpoints.Map(open);
        UploadEndpoints.Map(open);
        UnusedEndpoints.Map(open);
        RegistryEndpoints.Map(routes);
    }
}
