using System.Text.RegularExpressions;

namespace TinyMLaaS.WorkerHost.Attempts;

/// <summary>What may be told of an unexpected error: its type and its words, without the paths of this machine.</summary>
internal static partial class FailureMessage
{
    private const int LongestMessage = 500;

    public static string Of(Exception error)
    {
        var words = WithoutPaths(error.Message);
        return $"{error.GetType().Name}: {(words.Length <= LongestMessage ? words : words[..LongestMessage])}";
    }

    public static string WithoutPaths(string text) => AbsolutePath().Replace(text, match => match.Groups["name"].Value);

    [GeneratedRegex("""(?<![\w/:])/(?:[^/\s'"<>|:;,()\[\]]+/)+(?<name>[^/\s'"<>|:;,()\[\]]*)""", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex AbsolutePath();
}
