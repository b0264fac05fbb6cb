using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using TinyMLaaS.Contracts.Artifacts;
using TinyMLaaS.Orchestrator.Storage;

namespace TinyMLaaS.Orchestrator.Caching;

/// <summary>What a step produced once; found again by everything that the result depends on.</summary>
internal sealed class StepCacheEntry
{
    /// <summary>See <see cref="StepCacheKey"/>.</summary>
    public required string Key { get; init; }

    public required string Tenant { get; init; }

    public required string Uses { get; init; }

    /// <summary>What the key was made of, to say what has changed.</summary>
    public required StepCacheParts Parts { get; init; }

    public required IReadOnlyList<ArtifactRef> Outputs { get; init; }

    public required ArtifactRef Report { get; init; }

    public required IReadOnlyDictionary<string, double> Metrics { get; init; }

    public required DateTimeOffset StoredAt { get; init; }
}

internal sealed class StepCacheEntryConfiguration : IEntityTypeConfiguration<StepCacheEntry>
{
    public void Configure(EntityTypeBuilder<StepCacheEntry> builder)
    {
        builder.ToTable("step_cache");
        builder.HasKey(e => e.Key);
        // The newest of a transformer, to find what a step is most like.
        builder.HasIndex(e => new { e.Tenant, e.Uses, e.StoredAt });
        builder.Property(e => e.Parts).HasJsonColumn();
        builder.Property(e => e.Outputs).HasJsonColumn();
        builder.Property(e => e.Report).HasJsonColumn();
        builder.Property(e => e.Metrics).HasJsonColumn();
    }
}
