using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Transformers;

namespace TinyMLaaS.PipelineApi.Transformers;

/// <summary>A transformer that a worker has announced at some time. Transformers belong to the installation, not to a tenant.</summary>
internal sealed class TransformerRow
{
    public required string Name { get; init; }

    public required string Worker { get; init; }

    /// <summary>The descriptor as JSON.</summary>
    public required string Descriptor { get; set; }

    public required DateTimeOffset LastSeen { get; set; }

    public TransformerDescriptor Read() => JsonSerializer.Deserialize<TransformerDescriptor>(Descriptor, ContractJson.Options)!;

    internal sealed class Configuration : IEntityTypeConfiguration<TransformerRow>
    {
        public void Configure(EntityTypeBuilder<TransformerRow> builder)
        {
            builder.ToTable("transformers");
            builder.HasKey(t => t.Name);
            builder.HasIndex(t => t.Worker);
        }
    }
}
