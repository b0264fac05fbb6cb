using Microsoft.Extensions.Options;
using TinyMLaaS.Contracts.Health;
using TinyMLaaS.PipelineApi.Artifacts;
using TinyMLaaS.PipelineApi.Runs;
using TinyMLaaS.PipelineApi.Transformers;
using TinyMLaaS.ServiceDefaults;

namespace TinyMLaaS.PipelineApi.Health;

/// <summary>This service can work when the services behind it are ready and every expected worker kind has been heard of lately.</summary>
internal sealed class PipelineReadiness(
    OrchestratorUpstream orchestrator, ArtifactStoreUpstream store, WorkerPresence presence, IOptions<PipelineApiOptions> options) : IReadinessCheck
{
    public string Service => PipelineApiModule.ServiceName;

    public async Task<IReadOnlyList<MissingService>> CheckAsync(CancellationToken cancellation)
    {
        var behind = await Task.WhenAll(orchestrator.CheckAsync(cancellation), store.CheckAsync(cancellation));
        var workers = options.Value.ExpectedWorkerKinds
            .Where(worker => presence.InstancesOf(worker) == 0)
            .Select(worker => new MissingService { Service = worker, Reason = $"no worker of this kind has announced itself in the last {options.Value.SilenceSeconds} s" });
        return [.. behind.SelectMany(m => m).Concat(workers).DistinctBy(m => m.Service)];
    }
}
