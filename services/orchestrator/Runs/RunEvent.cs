using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>One entry of a run's event log; written in the transaction of the change it tells of.</summary>
internal sealed class RunEvent
{
    public Guid RunId { get; init; }

    public required long Sequence { get; init; }

    public required string Type { get; init; }

    public required DateTimeOffset At { get; init; }

    /// <summary>The contract record as JSON.</summary>
    public required string Data { get; init; }
}

internal sealed class RunEventConfiguration : IEntityTypeConfiguration<RunEvent>
{
    public void Configure(EntityTypeBuilder<RunEvent> builder)
    {
        builder.ToTable("run_events");
        builder.HasKey(e => new { e.RunId, e.Sequence });
        builder.Property(e => e.Sequence).ValueGeneratedNever();
    }
}
