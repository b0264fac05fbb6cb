using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Contracts.Datasets;

namespace TinyMLaaS.PipelineApi.Datasets;

internal sealed class DatasetRow
{
    public required string Tenant { get; init; }

    public required string Name { get; init; }

    public required string Digest { get; init; }

    public required long Size { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public ArtifactRef Artifact => new() { Digest = Digest, Size = Size, Kind = ArtifactKinds.Dataset };

    public DatasetResource ToResource() => new() { Name = Name, Tenant = Tenant, Artifact = Artifact, CreatedAt = CreatedAt };

    internal sealed class Configuration : IEntityTypeConfiguration<DatasetRow>
    {
        public void Configure(EntityTypeBuilder<DatasetRow> builder)
        {
            builder.ToTable("datasets");
            builder.HasKey(d => new { d.Tenant, d.Name });
            builder.Ignore(d => d.Artifact);
        }
    }
}
