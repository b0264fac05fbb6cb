using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>A line that a worker wrote about an attempt.</summary>
internal sealed class StepLogLine
{
    public Guid RunId { get; init; }

    public required int Step { get; init; }

    /// <summary>Counts the lines of the step from 1, over all attempts.</summary>
    public required int Number { get; init; }

    public required string Text { get; init; }
}

internal sealed class StepLogLineConfiguration : IEntityTypeConfiguration<StepLogLine>
{
    public void Configure(EntityTypeBuilder<StepLogLine> builder)
    {
        builder.ToTable("step_log_lines");
        builder.HasKey(l => new { l.RunId, l.Step, l.Number });
        builder.Property(l => l.Number).ValueGeneratedNever();
    }
}
