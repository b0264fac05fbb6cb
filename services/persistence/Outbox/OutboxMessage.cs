using MassTransit;
using MassTransit.Context;
using MassTransit.Metadata;
using MassTransit.Middleware;
using MassTransit.Serialization;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace TinyMLaaS.Persistence.Outbox;

/// <summary>A message that was committed with the change that it tells of and has not left yet. It leaves with the id that is stored, so that whoever gets it twice can tell.</summary>
internal sealed class OutboxMessage : OutboxMessageContext
{
    public required Guid MessageId { get; init; }

    /// <summary>The message whose handling sent it; null for one that was sent outside of a handler.</summary>
    public Guid? InboxMessageId { get; init; }

    /// <summary>The handler.</summary>
    public Guid? InboxConsumerId { get; init; }

    /// <summary>Its place among those of the same transaction.</summary>
    public required int Position { get; init; }

    /// <summary>When the sweeper may send it: later than whoever wrote it would.</summary>
    public required DateTimeOffset DueAt { get; set; }

    public required DateTimeOffset SentAt { get; init; }

    /// <summary>From then on nobody wants it; null for never.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    public required string Destination { get; init; }

    public Guid? ConversationId { get; init; }

    public Guid? CorrelationId { get; init; }

    public Guid? InitiatorId { get; init; }

    public Guid? RequestId { get; init; }

    public string? Source { get; init; }

    public string? Response { get; init; }

    public string? Fault { get; init; }

    public required string ContentType { get; init; }

    /// <summary>Names of the types that it can be read as, joined by <c>;</c>.</summary>
    public required string MessageType { get; init; }

    public required string Body { get; init; }

    /// <summary>JSON; null for none.</summary>
    public string? Headers { get; init; }

    /// <summary>What the transport wants to know, as JSON; null for nothing.</summary>
    public string? Properties { get; init; }

    long OutboxMessageContext.SequenceNumber => Position;

    Guid? MessageContext.MessageId => MessageId;

    DateTime? MessageContext.ExpirationTime => ExpiresAt?.UtcDateTime;

    DateTime? MessageContext.SentTime => SentAt.UtcDateTime;

    Uri? MessageContext.SourceAddress => Address(Source);

    Uri? MessageContext.DestinationAddress => Address(Destination);

    Uri? MessageContext.ResponseAddress => Address(Response);

    Uri? MessageContext.FaultAddress => Address(Fault);

    Headers MessageContext.Headers => Read(Headers) is { } headers ? new DictionarySendHeaders(headers!) : EmptyHeaders.Instance;

    HostInfo MessageContext.Host => HostMetadataCache.Host;

    IReadOnlyDictionary<string, object> OutboxMessageContext.Properties => Read(Properties) ?? [];

    /// <summary>The whole envelope of a message that was about to be sent.</summary>
    public static OutboxMessage From<T>(SendContext<T> context, (Guid Message, Guid Consumer)? inbox, int position, DateTimeOffset now, TimeSpan grace) where T : class
    {
        var properties = new Dictionary<string, object>(StringComparer.OrdinalIgnoreCase);
        if (context is TransportSendContext transport)
            transport.WritePropertiesTo(properties);
        return new OutboxMessage
        {
            MessageId = context.MessageId ?? throw new InvalidOperationException($"A {typeof(T).Name} has no message id, so it could not be told from its repetition."),
            InboxMessageId = inbox?.Message,
            InboxConsumerId = inbox?.Consumer,
            Position = position,
            DueAt = now + (context.Delay ?? grace),
            SentAt = now,
            ExpiresAt = now + context.TimeToLive,
            Destination = context.DestinationAddress?.ToString() ?? throw new InvalidOperationException($"A {typeof(T).Name} has no destination."),
            ConversationId = context.ConversationId,
            CorrelationId = context.CorrelationId,
            InitiatorId = context.InitiatorId,
            RequestId = context.RequestId,
            Source = context.SourceAddress?.ToString(),
            Response = context.ResponseAddress?.ToString(),
            Fault = context.FaultAddress?.ToString(),
            ContentType = (context.ContentType ?? context.Serialization.DefaultContentType).ToString(),
            MessageType = string.Join(';', context.SupportedMessageTypes),
            Body = context.Serializer.GetMessageBody(context).GetString(),
            Headers = Write(context.Headers.GetAll()),
            Properties = Write(properties),
        };
    }

    private static Uri? Address(string? text) => text is null ? null : new Uri(text);

    private static string? Write(IEnumerable<KeyValuePair<string, object>> values) => SystemTextJsonMessageSerializer.Instance.SerializeDictionary(values);

    private static Dictionary<string, object>? Read(string? text) => SystemTextJsonMessageSerializer.Instance.DeserializeDictionary<object>(text);
}

internal sealed class OutboxMessageConfiguration : IEntityTypeConfiguration<OutboxMessage>
{
    public void Configure(EntityTypeBuilder<OutboxMessage> builder)
    {
        builder.ToTable("outbox_messages");
        builder.HasKey(m => m.MessageId);
        builder.Property(m => m.MessageId).ValueGeneratedNever();
        // What the sweeper asks for, and what a message that comes again asks for.
        builder.HasIndex(m => new { m.DueAt, m.Position });
        builder.HasIndex(m => new { m.InboxMessageId, m.InboxConsumerId });
    }
}
