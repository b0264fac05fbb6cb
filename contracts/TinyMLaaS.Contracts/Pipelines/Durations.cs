using System.Globalization;

namespace TinyMLaaS.Contracts.Pipelines;

/// <summary>Durations as pipeline documents write them: a whole number and one of <c>s, m, h, d</c>, e.g. <c>30m</c>.</summary>
public static class Durations
{
    /// <summary>The longest that there is.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromDays(365);

    /// <summary>The duration; null for what is none, or is longer than <see cref="Longest"/>.</summary>
    public static TimeSpan? Read(string? text)
    {
        if (text is not { Length: >= 2 and <= 9 } || !int.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return null;
        var seconds = text[^1] switch { 's' => 1L, 'm' => 60, 'h' => 3600, 'd' => 86400, _ => -1 } * number;
        return seconds < 0 || seconds > Longest.TotalSeconds ? null : TimeSpan.FromSeconds(seconds);
    }

    /// <summary>The same the other way round, in the largest unit that gives a whole number; what is no whole number of seconds is written in seconds.</summary>
    public static string Write(TimeSpan duration)
    {
        if (duration.Ticks % TimeSpan.TicksPerSecond != 0)
            return duration.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture) + "s";
        var seconds = duration.Ticks / TimeSpan.TicksPerSecond;
        var (unit, size) = seconds switch
        {
            0 => ('s', 1),
            _ when seconds % 86400 == 0 => ('d', 86400),
            _ when seconds % 3600 == 0 => ('h', 3600),
            _ when seconds % 60 == 0 => ('m', 60),
            _ => ('s', 1),
        };
        return string.Create(CultureInfo.InvariantCulture, $"{seconds / size}{unit}");
    }
}
