namespace TinyMLaaS.ServiceDefaults;

/// <summary>
/// How long a loop waits until it looks by itself at what it is usually told of: as long as given while there is something to do, and twice as long each time that there is nothing,
/// up to eight times. So a service that nobody wants anything of costs next to nothing.
/// </summary>
/// <param name="shortest">The pause after work.</param>
public sealed class IdlePause(TimeSpan shortest)
{
    private const int Most = 8;

    private int _times = 1;

    /// <summary>The longest pause there is.</summary>
    /// <param name="shortest">The pause after work.</param>
    public static TimeSpan LongestOf(TimeSpan shortest) => shortest * Most;

    /// <summary>The pause after a look.</summary>
    /// <param name="busy">True when there was something to do, or may be soon.</param>
    public TimeSpan After(bool busy)
    {
        _times = busy ? 1 : Math.Min(_times * 2, Most);
        return shortest * _times;
    }
}
