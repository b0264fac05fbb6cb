using MassTransit;
using MassTransit.Middleware;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace TinyMLaaS.Persistence.Outbox;

/// <summary>
/// Handles a message once: its inbox row, what the handler changes and what it sends are one transaction. What it sends leaves after the commit, and the
/// message is acknowledged after that. One that comes again finds its inbox row, changes nothing, and sends whatever has not left yet.
/// </summary>
internal sealed class OutboxContextFactory<TContext>(
    TContext database,
    WriteTransactions<TContext> transactions,
    OutboxDelivery<TContext> delivery,
    IServiceProvider provider,
    TimeProvider time,
    ILogger<OutboxContextFactory<TContext>> log) : IOutboxContextFactory<TContext>
    where TContext : ServiceDbContext
{
    public async Task Send<T>(ConsumeContext<T> context, OutboxConsumeOptions options, IPipe<OutboxConsumeContext<T>> next) where T : class
    {
        var message = context.GetOriginalMessageId()
            ?? throw new MessageException(typeof(T), "It has no message id, so it could not be told from its repetition.");
        FailurePoint.Handles(message);
        var outbox = new OutboxConsumeContext<T, TContext>(context, options, database, provider, message, time);
        await using (var transaction = await transactions.BeginAsync(database, context.CancellationToken))
        {
            if (await InsertAsync(message, options.ConsumerId, context.CancellationToken))
            {
                FailurePoint.Reach(FailurePoint.InboxInserted);
                await next.Send(outbox);
                FailurePoint.Reach(FailurePoint.BeforeCommit);
                await transaction.CommitAsync(context.CancellationToken);
                FailurePoint.Reach(FailurePoint.AfterCommit);
            }
            else
            {
                outbox.TakeUp(await database.Set<OutboxMessage>().AsNoTracking()
                    .Where(m => m.InboxMessageId == message && m.InboxConsumerId == options.ConsumerId)
                    .OrderBy(m => m.Position)
                    .ToListAsync(context.CancellationToken));
            }
        }
        if (!outbox.IsOutboxDelivered)
        {
            try
            {
                await next.Send(outbox);
            }
            catch (Exception error) when (!context.CancellationToken.IsCancellationRequested)
            {
                // Nothing is lost: the rows are committed.
                log.LogWarning(error, "Messages of {Type} {MessageId} could not leave yet; they are swept.", typeof(T).Name, message);
                outbox.LeaveToSweeper();
                delivery.Wake();
            }
            delivery.Forget(outbox.Delivered);
        }
        await next.Send(outbox);
        FailurePoint.Reach(FailurePoint.BeforeAcknowledge);
    }

    public void Probe(ProbeContext context) => context.CreateFilterScope("outbox").Add("context", typeof(TContext).Name);

    // On PostgreSQL a second writer waits here for the first one's end.
    private async Task<bool> InsertAsync(Guid message, Guid consumer, CancellationToken cancellation) =>
        await database.Database.ExecuteSqlRawAsync(OutboxSql.InsertInbox(database), [message, consumer, time.GetUtcNow().UtcTicks], cancellation) == 1;
}
