using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.PipelineApi.Requests;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>The orchestrator's own HTTP interface, which knows every run that it has taken on.</summary>
internal sealed class OrchestratorUpstream(HttpClient http) : Upstream(http, ServiceName)
{
    public const string ServiceName = "orchestrator";

    /// <summary>A run of a tenant; absent when the orchestrator has not taken it on.</summary>
    /// <exception cref="ServiceUnavailableException">The orchestrator does not answer as it should.</exception>
    public Task<RunResource?> FindAsync(string tenant, Guid run, CancellationToken cancellation) => ReadAsync<RunResource>(tenant, $"v1/runs/{run}", cancellation);

    /// <summary>A step of a tenant's run; absent when there is none.</summary>
    /// <exception cref="ServiceUnavailableException">The orchestrator does not answer as it should.</exception>
    public Task<StepResource?> FindStepAsync(string tenant, Guid run, int step, CancellationToken cancellation) =>
        ReadAsync<StepResource>(tenant, $"v1/runs/{run}/steps/{step}", cancellation);
}
