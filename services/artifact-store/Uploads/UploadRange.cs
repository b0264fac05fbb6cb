using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Http;

namespace TinyMLaaS.ArtifactStore.Uploads;

/// <summary>Where a part belongs: its <c>Content-Range</c>.</summary>
internal static partial class UploadRange
{
    private const string Expected = "Content-Range: FIRST-LAST, the places of the first and the last byte of this part in the file, counted from 0";
    private const int ShownLength = 100;

    /// <summary>Reads it.</summary>
    /// <param name="request">With a part as its body.</param>
    /// <param name="from">Where the part begins; null when it is not said.</param>
    /// <param name="length">How long it is; null when it is not said.</param>
    /// <param name="wrong">What is wrong.</param>
    public static bool TryRead(HttpRequest request, out long? from, out long? length, [NotNullWhen(false)] out string? wrong)
    {
        (from, length, wrong) = (null, request.ContentLength, null);
        if (request.Headers.ContentRange.ToString() is not { Length: > 0 } text)
            return true;
        if (Range().Match(text) is not { Success: true } match
            || !long.TryParse(match.Groups["first"].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out var first)
            || !long.TryParse(match.Groups["last"].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out var last)
            || last < first || last == long.MaxValue)
        {
            wrong = $"'{(text.Length <= ShownLength ? text : text[..ShownLength] + "...")}' is no range. Expected {Expected}.";
            return false;
        }
        if (length is { } announced && announced != last - first + 1)
        {
            wrong = $"The range {text} is {last - first + 1} bytes long, but the body {announced}. Expected {Expected}.";
            return false;
        }
        (from, length) = (first, last - first + 1);
        return true;
    }

    // OCI writes a range without a unit; HTTP writes one, and how long the whole is.
    [GeneratedRegex(@"^(bytes )?(?<first>[0-9]{1,19})-(?<last>[0-9]{1,19})(/([0-9]+|\*))?$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Range();
}
