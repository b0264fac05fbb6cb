using TinyMLaaS.Contracts.Pipelines;
using TinyMLaaS.PipelineApi.Requests;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>The orchestrator's own HTTP interface, which knows every run that it has taken on.</summary>
internal sealed class OrchestratorUpstream(HttpClient http) : Upstream(http, ServiceName)
{
    public const string ServiceName = "orchestrator";

    /// <summary>A run; absent when the orchestrator has not taken it on.</summary>
    /// <exception cref="ServiceUnavailableException">The orchestrator does not answer as it should.</exception>
    public Task<RunResource?> FindAsync(Guid run, CancellationToken cancellation) => ReadAsync<RunResource>($"v1/runs/{run}", cancellation);

    /// <summary>A step; absent when there is none.</summary>
    /// <exception cref="ServiceUnavailableException">The orchestrator does not answer as it should.</exception>
    public Task<StepResource?> FindStepAsync(Guid run, int step, CancellationToken cancellation) => ReadAsync<StepResource>($"v1/runs/{run}/steps/{step}", cancellation);
}
