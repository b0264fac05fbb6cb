using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace TinyMLaaS.Persistence.Outbox;

/// <summary>A message that a handler has dealt with; written in the transaction of what it did.</summary>
internal sealed class InboxMessage
{
    public required Guid MessageId { get; init; }

    public required Guid ConsumerId { get; init; }

    public required DateTimeOffset ConsumedAt { get; init; }
}

internal sealed class InboxMessageConfiguration : IEntityTypeConfiguration<InboxMessage>
{
    public void Configure(EntityTypeBuilder<InboxMessage> builder)
    {
        builder.ToTable("inbox_messages");
        builder.HasKey(m => new { m.MessageId, m.ConsumerId });
        builder.HasIndex(m => m.ConsumedAt);
    }
}
