using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using TinyMLaaS.ArtifactStore.Artifacts;
using TinyMLaaS.ArtifactStore.Storage;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.ArtifactStore;

/// <summary>Content-addressed files over HTTP. Options: section <c>ArtifactStore</c> with <c>Root</c> (a folder, required) and <c>MaxBytes</c>.</summary>
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
        builder.Services.AddSingleton<IReadinessCheck, StorageReadiness>();
    }

    /// <inheritdoc/>
    public override void MapEndpoints(IEndpointRouteBuilder routes) => ArtifactEndpoints.Map(routes);
}
