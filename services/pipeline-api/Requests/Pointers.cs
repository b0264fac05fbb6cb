namespace TinyMLaaS.PipelineApi.Requests;

/// <summary>JSON pointers, RFC 6901.</summary>
internal static class Pointers
{
    public static string Of(params IEnumerable<string> path) =>
        string.Concat(path.Select(part => "/" + part.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal)));
}
