using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>One entry of a run's event log; written in the transaction of the change it tells of.</summary>
internal sealed class RunEvent
{
    public Guid RunId { get; init; }

    public required long Sequence { get; init; }

    /// <summary>Whose run it is.</summary>
    public required string Tenant { get; init; }

    /// <summary>Place among all events; null until <see cref="Events.EventPositions"/> gives it one, after the commit.</summary>
    public long? Position { get; init; }

    public required string Type { get; init; }

    public required DateTimeOffset At { get; init; }

    /// <summary>The contract record as JSON.</summary>
    public required string Data { get; init; }

    /// <summary>The record itself, where the event was written by this process just now.</summary>
    public object? Message { get; set; }
}

internal sealed class RunEventConfiguration : IEntityTypeConfiguration<RunEvent>
{
    public void Configure(EntityTypeBuilder<RunEvent> builder)
    {
        builder.ToTable("run_events");
        builder.HasKey(e => new { e.RunId, e.Sequence });
        builder.Ignore(e => e.Message);
        builder.Property(e => e.Sequence).ValueGeneratedNever();
        // What has no position yet is little and is looked for all the time.
        builder.HasIndex(e => new { e.RunId, e.Sequence }).HasFilter("\"Position\" IS NULL").HasDatabaseName("IX_run_events_without_position");
        builder.HasIndex(e => e.Position).IsUnique().HasFilter("\"Position\" IS NOT NULL");
        builder.HasIndex(e => new { e.Tenant, e.Position }).HasFilter("\"Position\" IS NOT NULL");
    }
}
