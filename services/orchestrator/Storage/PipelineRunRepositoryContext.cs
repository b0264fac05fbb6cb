using MassTransit;
using MassTransit.Context;
using MassTransit.Saga;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using TinyMLaaS.Orchestrator.Runs;

namespace TinyMLaaS.Orchestrator.Storage;

/// <summary>Runs as MassTransit's saga pipeline sees them, for one message inside one transaction.</summary>
internal sealed class PipelineRunRepositoryContext<T>(
    OrchestratorDbContext database,
    ConsumeContext<T> context,
    ISagaConsumeContextFactory<OrchestratorDbContext, PipelineRun> consumeContexts,
    IServiceProvider provider)
    : ConsumeContextScope<T>(context, database, provider), SagaRepositoryContext<PipelineRun, T>
    where T : class
{
    public Task<SagaConsumeContext<PipelineRun, T>> Add(PipelineRun instance) => CreateSagaConsumeContext(this, instance, SagaConsumeContextMode.Add);

    private readonly TimeProvider _time = provider.GetRequiredService<TimeProvider>();

    public async Task<SagaConsumeContext<PipelineRun, T>> Insert(PipelineRun instance)
    {
        await database.ReadClockAsync(_time, CancellationToken);
        if (await database.Runs.AnyAsync(r => r.CorrelationId == instance.CorrelationId, CancellationToken))
            return null!;
        instance.CurrentState = Initial;
        var entry = database.Runs.Add(instance);
        // So that the transaction stays usable when another writer was first.
        database.Database.AutoSavepointsEnabled = true;
        try
        {
            await database.SaveChangesAsync(CancellationToken);
        }
        catch (DbUpdateException)
        {
            entry.State = EntityState.Detached;
            if (!await database.Runs.AnyAsync(r => r.CorrelationId == instance.CorrelationId, CancellationToken))
                throw;
            return null!;
        }
        finally
        {
            database.Database.AutoSavepointsEnabled = false;
        }
        return await CreateSagaConsumeContext(this, instance, SagaConsumeContextMode.Insert);
    }

    public async Task<SagaConsumeContext<PipelineRun, T>> Load(Guid correlationId)
    {
        var instance = await database.LoadForUpdateAsync(correlationId, _time, CancellationToken);
        return instance is null ? null! : await CreateSagaConsumeContext(this, instance, SagaConsumeContextMode.Load);
    }

    public async Task Save(SagaConsumeContext<PipelineRun> context)
    {
        database.Runs.Add(context.Saga);
        await database.SaveChangesAsync(CancellationToken);
    }

    public Task Update(SagaConsumeContext<PipelineRun> context) => database.SaveRunsAsync(CancellationToken);

    public async Task Delete(SagaConsumeContext<PipelineRun> context)
    {
        database.Runs.Remove(context.Saga);
        await database.SaveChangesAsync(CancellationToken);
    }

    public Task Discard(SagaConsumeContext<PipelineRun> context) => Task.CompletedTask;

    public Task Undo(SagaConsumeContext<PipelineRun> context)
    {
        database.Entry(context.Saga).State = EntityState.Detached;
        return Task.CompletedTask;
    }

    public Task<SagaConsumeContext<PipelineRun, TMessage>> CreateSagaConsumeContext<TMessage>(ConsumeContext<TMessage> consumeContext, PipelineRun instance, SagaConsumeContextMode mode)
        where TMessage : class =>
        consumeContexts.CreateSagaConsumeContext(database, consumeContext, instance, mode);

    /// <summary>MassTransit's name of the state before the first.</summary>
    private const string Initial = "Initial";
}
