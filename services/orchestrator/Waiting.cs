using System.Globalization;

namespace TinyMLaaS.Orchestrator;

/// <summary>Waits that end by themselves.</summary>
internal static class Waiting
{
    /// <summary>Longest <c>wait</c> of a request.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(60);

    /// <summary>Waits for a change, at most for <paramref name="limit"/>.</summary>
    public static async Task ForAsync(Task change, TimeSpan limit, TimeProvider time, CancellationToken cancellation)
    {
        try
        {
            await change.WaitAsync(limit, time, cancellation);
        }
        catch (TimeoutException)
        {
            // Time to look at the rows anyway: another process may have changed them.
        }
    }

    /// <summary>Reads the <c>wait</c> of a request, whole seconds with or without an <c>s</c>; absent is none.</summary>
    public static bool TryRead(string? text, out TimeSpan wait)
    {
        wait = TimeSpan.Zero;
        if (text is null)
            return true;
        var digits = text.EndsWith('s') ? text.AsSpan()[..^1] : text;
        if (!int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) || seconds > Longest.TotalSeconds)
            return false;
        wait = TimeSpan.FromSeconds(seconds);
        return true;
    }

    /// <summary>What to write instead of a <c>wait</c> that cannot be read.</summary>
    public static string Refusal(string? text) => $"wait is '{text}'. Expected seconds, e.g. wait=30s, at most {Longest.TotalSeconds}s.";
}
