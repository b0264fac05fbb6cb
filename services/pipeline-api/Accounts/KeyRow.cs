using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts.Accounts;

namespace TinyMLaaS.PipelineApi.Accounts;

/// <summary>An API key as it is kept: not the key, which nobody can read again, but its hash.</summary>
internal sealed class KeyRow
{
    public required Guid Id { get; init; }

    public required string Tenant { get; init; }

    public required string Name { get; init; }

    public required string Prefix { get; init; }

    /// <summary>See <see cref="ApiKey.Hash"/>.</summary>
    public required string Hash { get; init; }

    /// <summary>Separated by spaces, as OAuth writes them.</summary>
    public required string ScopeText { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset ExpiresAt { get; init; }

    public DateTimeOffset? RevokedAt { get; set; }

    public DateTimeOffset? LastUsedAt { get; set; }

    public IReadOnlyList<string> Scopes => ScopeText.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    /// <param name="key">The key itself, in the answer that made it alone.</param>
    public KeyResource ToResource(ApiKey? key = null) => new()
    {
        Id = Id,
        Tenant = Tenant,
        Name = Name,
        Prefix = Prefix,
        Scopes = Scopes,
        CreatedAt = CreatedAt,
        ExpiresAt = ExpiresAt,
        RevokedAt = RevokedAt,
        LastUsedAt = LastUsedAt,
        Key = key?.Text,
    };

    internal sealed class Configuration : IEntityTypeConfiguration<KeyRow>
    {
        public void Configure(EntityTypeBuilder<KeyRow> builder)
        {
            builder.ToTable("api_keys");
            builder.HasKey(k => k.Id);
            builder.Ignore(k => k.Scopes);
            builder.Property(k => k.ScopeText).HasColumnName("Scopes");
            builder.HasIndex(k => k.Hash).IsUnique();
            builder.HasIndex(k => new { k.Tenant, k.CreatedAt, k.Id });
        }
    }
}
