using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Models;

namespace TinyMLaaS.PipelineApi.Models;

internal sealed class ModelRow
{
    public required Guid Id { get; init; }

    public required string Tenant { get; init; }

    public required string Name { get; init; }

    public required string Digest { get; init; }

    public required long Size { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public ArtifactRef Artifact => new() { Digest = Digest, Size = Size, Kind = ArtifactKinds.Onnx };

    public ModelResource ToResource() => new() { Id = Id, Tenant = Tenant, Name = Name, Artifact = Artifact, CreatedAt = CreatedAt };

    internal sealed class Configuration : IEntityTypeConfiguration<ModelRow>
    {
        public void Configure(EntityTypeBuilder<ModelRow> builder)
        {
            builder.ToTable("models");
            builder.HasKey(m => m.Id);
            builder.Ignore(m => m.Artifact);
            builder.HasIndex(m => new { m.Tenant, m.Name, m.CreatedAt });
            builder.HasIndex(m => new { m.Tenant, m.CreatedAt, m.Id });
        }
    }
}
