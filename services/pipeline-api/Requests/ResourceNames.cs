using System.Text.RegularExpressions;

namespace TinyMLaaS.PipelineApi.Requests;

/// <summary>What models and datasets may be called.</summary>
internal static partial class ResourceNames
{
    public const string Expected = "1 to 100 letters, digits, '.', '_' and '-', the first a letter or digit";

    public static bool IsName(string text) => Pattern.IsMatch(text);

    /// <summary>What pipelines may be called, as the published schema says.</summary>
    public static bool IsPipelineName(string text) => PipelinePattern.IsMatch(text);

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern { get; }

    [GeneratedRegex(@"^[a-z0-9][a-z0-9-]{0,62}\z", RegexOptions.CultureInvariant)]
    private static partial Regex PipelinePattern { get; }
}
