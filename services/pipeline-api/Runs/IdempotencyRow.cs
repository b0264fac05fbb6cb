using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace TinyMLaaS.PipelineApi.Runs;

/// <summary>What the first request with an <c>Idempotency-Key</c> was answered. Only accepted requests have one: a refused one changed nothing.</summary>
internal sealed class IdempotencyRow
{
    public required string Tenant { get; init; }

    public required string Key { get; init; }

    /// <summary>sha-256 of the body.</summary>
    public required string Fingerprint { get; init; }

    public required Guid RunId { get; init; }

    /// <summary>The body of the answer 202.</summary>
    public required string Answer { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    internal sealed class Configuration : IEntityTypeConfiguration<IdempotencyRow>
    {
        public void Configure(EntityTypeBuilder<IdempotencyRow> builder)
        {
            builder.ToTable("idempotency_keys");
            builder.HasKey(r => new { r.Tenant, r.Key });
            builder.HasIndex(r => r.CreatedAt);
        }
    }
}
