using MassTransit;
using MassTransit.Saga;
using TinyMLaaS.Orchestrator.Runs;
using TinyMLaaS.Persistence;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>
/// One transaction a message: load, decide, save, commit. Where the transactional outbox has opened a transaction already, that one is
/// joined and its owner commits.
/// </summary>
internal sealed class PipelineRunRepositoryContextFactory(
    OrchestratorDbContext database,
    WriteTransactions<OrchestratorDbContext> transactions,
    ISagaConsumeContextFactory<OrchestratorDbContext, PipelineRun> consumeContexts,
    IServiceProvider provider) : ISagaRepositoryContextFactory<PipelineRun>
{
    public async Task Send<T>(ConsumeContext<T> context, IPipe<SagaRepositoryContext<PipelineRun, T>> next) where T : class
    {
        var repository = new PipelineRunRepositoryContext<T>(database, context, consumeContexts, provider);
        if (database.Database.CurrentTransaction is not null)
        {
            await next.Send(repository);
            return;
        }
        await using var transaction = await transactions.BeginAsync(database, context.CancellationToken);
        await next.Send(repository);
        await transaction.CommitAsync(context.CancellationToken);
    }

    public Task SendQuery<T>(ConsumeContext<T> context, ISagaQuery<PipelineRun> query, IPipe<SagaRepositoryQueryContext<PipelineRun, T>> next) where T : class =>
        throw new NotSupportedException("Every event of a run is correlated by its id. An expression would lock many rows.");

    public void Probe(ProbeContext context) => context.CreateScope("pipeline-runs").Add("persistence", "entity-framework-core");
}
