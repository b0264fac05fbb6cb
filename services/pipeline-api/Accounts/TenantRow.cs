using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace TinyMLaaS.PipelineApi.Accounts;

internal sealed class TenantRow
{
    public required string Name { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    internal sealed class Configuration : IEntityTypeConfiguration<TenantRow>
    {
        public void Configure(EntityTypeBuilder<TenantRow> builder)
        {
            builder.ToTable("tenants");
            builder.HasKey(t => t.Name);
        }
    }
}
