using TinyMLaaS.Contracts.Artifacts;
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

    /// <summary>The states of those of a tenant's runs that the orchestrator has taken on.</summary>
    /// <param name="tenant">Whose.</param>
    /// <param name="runs">At most 100.</param>
    /// <param name="cancellation">Ends the request.</param>
    /// <exception cref="ServiceUnavailableException">The orchestrator does not answer as it should.</exception>
    public async Task<IReadOnlyDictionary<Guid, string>> StatesAsync(string tenant, IReadOnlyCollection<Guid> runs, CancellationToken cancellation) =>
        await ReadAsync<Dictionary<Guid, string>>(tenant, $"v1/run-states?{string.Join('&', runs.Select(r => $"run={r:N}"))}", cancellation) ?? throw new ServiceUnavailableException(ServiceName, "it does not know the request");

    /// <summary>A step of a tenant's run; absent when there is none.</summary>
    /// <exception cref="ServiceUnavailableException">The orchestrator does not answer as it should.</exception>
    public Task<StepResource?> FindStepAsync(string tenant, Guid run, int step, CancellationToken cancellation) =>
        ReadAsync<StepResource>(tenant, $"v1/runs/{run}/steps/{step}", cancellation);

    /// <summary>Every artifact that runs and the step cache refer to. A list that breaks off is an error and never a shorter list.</summary>
    /// <exception cref="ServiceUnavailableException">The orchestrator does not answer as it should.</exception>
    public IAsyncEnumerable<ArtifactReference> ReadReferencesAsync(CancellationToken cancellation) => ReadReferencesAsync("v1/references", cancellation);
}
