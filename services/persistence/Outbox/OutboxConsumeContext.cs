using MassTransit;
using MassTransit.Middleware;
using MassTransit.Middleware.Outbox;

namespace TinyMLaaS.Persistence.Outbox;

/// <summary>A message while it is handled: what the handler sends becomes rows.</summary>
internal sealed class OutboxConsumeContext<T, TContext>(
    ConsumeContext<T> context, OutboxConsumeOptions options, TContext database, IServiceProvider provider, Guid message, TimeProvider time)
    : OutboxConsumeContextProxy<T>(context, options, provider)
    where T : class
    where TContext : ServiceDbContext
{
    private readonly HashSet<Guid> _answers = [];
    private List<OutboxMessage> _messages = [];
    private int _delivered;
    private bool _consumed;
    private bool _left;

    public override bool ContinueProcessing { get; set; } = true;

    public override bool IsMessageConsumed => _consumed;

    public override bool IsOutboxDelivered => _left || (_consumed && _delivered == _messages.Count);

    public override int ReceiveCount => 1;

    public override long? LastSequenceNumber => null;

    /// <summary>Ids of the rows whose messages have left.</summary>
    public IEnumerable<Guid> Delivered => _messages.Take(_delivered).Select(m => m.MessageId).Where(id => !_answers.Contains(id));

    /// <summary>The message was handled before; these of its messages may not have left.</summary>
    public void TakeUp(List<OutboxMessage> messages)
    {
        _messages = messages;
        _consumed = true;
    }

    /// <summary>The rest is not sent from here.</summary>
    public void LeaveToSweeper() => _left = true;

    public override async Task SetConsumed()
    {
        // Most handlers have saved already, and their rows with it.
        if (database.ChangeTracker.HasChanges())
            await database.SaveChangesAsync(CancellationToken);
        _consumed = true;
    }

    public override Task SetDelivered() => Task.CompletedTask;

    public override Task<List<OutboxMessageContext>> LoadOutboxMessages() => Task.FromResult(_messages.ToList<OutboxMessageContext>());

    public override Task NotifyOutboxMessageDelivered(OutboxMessageContext message)
    {
        _delivered++;
        if (_delivered < _messages.Count)
            FailurePoint.Reach(FailurePoint.BetweenPublishes);
        return Task.CompletedTask;
    }

    public override Task RemoveOutboxMessages() => Task.CompletedTask;

    public override Task AddSend<TMessage>(SendContext<TMessage> context)
    {
        var row = OutboxMessage.From(context, (message, ConsumerId), _messages.Count, time.GetUtcNow(), OutboxDelivery.Grace);
        _messages.Add(row);
        // An answer leaves after the commit like all else, but has no row: whoever does not get it asks again and is answered by what the rows say then.
        if (context.RequestId is null)
            database.Add(row);
        else
            _answers.Add(row.MessageId);
        return Task.CompletedTask;
    }
}
