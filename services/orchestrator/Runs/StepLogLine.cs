using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>A line that a worker wrote about an attempt.</summary>
internal sealed class StepLogLine
{
    private const int LongestLine = 2000;

    public Guid RunId { get; init; }

    public required int Step { get; init; }

    /// <summary>Counts the lines of the step from 1, over all attempts.</summary>
    public required int Number { get; init; }

    /// <summary>The attempt that wrote it; 0 when that is not known: a line of before attempts were kept.</summary>
    public int Attempt { get; init; }

    public required string Text { get; init; }

    /// <summary>One line of at most <see cref="LongestLine"/> characters that is valid text everywhere: whatever else a worker wrote is replaced.</summary>
    public static string Printable(string line)
    {
        var length = line.Length <= LongestLine ? line.Length : char.IsHighSurrogate(line[LongestLine - 1]) ? LongestLine - 1 : LongestLine;
        return string.Create(length, line, (text, source) =>
        {
            for (var i = 0; i < text.Length; i++)
            {
                var (c, previous, next) = (source[i], i > 0 ? source[i - 1] : ' ', i + 1 < text.Length ? source[i + 1] : ' ');
                var broken = char.IsHighSurrogate(c) ? !char.IsLowSurrogate(next) : char.IsLowSurrogate(c) && !char.IsHighSurrogate(previous);
                text[i] = broken ? '\uFFFD' : char.IsControl(c) && c != '\t' ? ' ' : c;
            }
        });
    }
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
