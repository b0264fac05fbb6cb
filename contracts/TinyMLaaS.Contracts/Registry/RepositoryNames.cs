using System.Text.RegularExpressions;

namespace TinyMLaaS.Contracts.Registry;

/// <summary>The grammar of names in a registry. What passes here is safe as a part of a path: no part of it begins with a dot or an underscore.</summary>
public static partial class RepositoryNames
{
    /// <summary>What <see cref="IsName"/> takes, for messages.</summary>
    public const string Expected = "lower-case letters and digits, with single dots, one or two underscores or hyphens between them, in parts separated by slashes, at most 255 characters";

    /// <summary>What <see cref="IsTag"/> takes, for messages.</summary>
    public const string ExpectedTag = "1 to 128 letters, digits, underscores, dots and hyphens, the first one no dot or hyphen";

    private const int MaxLength = 255;

    /// <summary>True for a repository's name.</summary>
    public static bool IsName(string? text) => text is { Length: > 0 and <= MaxLength } && Name().IsMatch(text);

    /// <summary>True for a tag.</summary>
    public static bool IsTag(string? text) => text is not null && Tag().IsMatch(text);

    [GeneratedRegex(@"\A[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Name();

    [GeneratedRegex(@"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Tag();
}
