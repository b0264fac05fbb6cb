using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace TinyMLaaS.Orchestrator.Runs;

/// <summary>Lines that a worker wrote about an attempt and told together.</summary>
internal sealed class StepLogLines
{
    private const int LongestLine = 2000;

    public Guid RunId { get; init; }

    public required int Step { get; init; }

    /// <summary>The number of the last of them; the lines of a step count from 1, over all attempts.</summary>
    public required int Last { get; init; }

    /// <summary>The attempt that wrote them; 0 when that is not known: lines of before attempts were kept.</summary>
    public int Attempt { get; init; }

    /// <summary>One line of text each.</summary>
    public required string Text { get; init; }

    /// <summary>Each with its number.</summary>
    public IEnumerable<(int Number, string Text)> Each()
    {
        var lines = Text.Split('\n');
        return lines.Select((line, i) => (Last - lines.Length + 1 + i, line));
    }

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

internal sealed class StepLogLinesConfiguration : IEntityTypeConfiguration<StepLogLines>
{
    public void Configure(EntityTypeBuilder<StepLogLines> builder)
    {
        builder.ToTable("step_log_lines");
        builder.HasKey(l => new { l.RunId, l.Step, l.Last });
        builder.Property(l => l.Last).HasColumnName("Number").ValueGeneratedNever();
    }
}
