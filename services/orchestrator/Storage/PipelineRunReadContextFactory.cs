using MassTransit;
using MassTransit.Middleware;
using MassTransit.Saga;
using Microsoft.EntityFrameworkCore;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>Runs outside of a message: read only and untracked.</summary>
internal sealed class PipelineRunReadContextFactory(OrchestratorDbContext database)
    : ILoadSagaRepositoryContextFactory<PipelineRun>, IQuerySagaRepositoryContextFactory<PipelineRun>
{
    public Task<T> Execute<T>(Func<LoadSagaRepositoryContext<PipelineRun>, Task<T>> asyncMethod, CancellationToken cancellationToken) where T : class =>
        asyncMethod(new ReadContext(database, cancellationToken));

    public Task<T> Execute<T>(Func<QuerySagaRepositoryContext<PipelineRun>, Task<T>> asyncMethod, CancellationToken cancellationToken) where T : class =>
        asyncMethod(new ReadContext(database, cancellationToken));

    public void Probe(ProbeContext context) => context.CreateScope("pipeline-runs").Add("persistence", "entity-framework-core");

    private sealed class ReadContext(OrchestratorDbContext database, CancellationToken cancellation)
        : BasePipeContext(cancellation), LoadSagaRepositoryContext<PipelineRun>, QuerySagaRepositoryContext<PipelineRun>
    {
        public async Task<PipelineRun> Load(Guid correlationId) =>
            (await database.WholeRuns.AsNoTracking().SingleOrDefaultAsync(r => r.CorrelationId == correlationId, CancellationToken))!;

        public async Task<SagaRepositoryQueryContext<PipelineRun>> Query(ISagaQuery<PipelineRun> query, CancellationToken cancellationToken) =>
            new DefaultSagaRepositoryQueryContext<PipelineRun>(
                this,
                await database.Runs.AsNoTracking().Where(query.FilterExpression).Select(r => r.CorrelationId).ToListAsync(cancellationToken));
    }
}
