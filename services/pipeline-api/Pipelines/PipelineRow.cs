using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.PipelineApi.Pipelines;

internal sealed class PipelineRow
{
    public required string Tenant { get; init; }

    public required string Name { get; init; }

    /// <summary>The document as JSON.</summary>
    public required string Document { get; set; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset UpdatedAt { get; set; }

    public PipelineResource ToResource() => new()
    {
        Name = Name,
        Tenant = Tenant,
        Document = JsonSerializer.Deserialize<PipelineDocument>(Document, ContractJson.Options)!,
        CreatedAt = CreatedAt,
        UpdatedAt = UpdatedAt,
    };

    internal sealed class Configuration : IEntityTypeConfiguration<PipelineRow>
    {
        public void Configure(EntityTypeBuilder<PipelineRow> builder)
        {
            builder.ToTable("pipelines");
            builder.HasKey(p => new { p.Tenant, p.Name });
        }
    }
}
