using System.Globalization;

namespace TinyMLaaS.Reports;

/// <summary>What a page says of the report's origin.</summary>
/// <param name="Title">What was done, e.g. <c>compiler/quantize</c>.</param>
/// <param name="Facts">Names and values to show below it, in order.</param>
public sealed record ReportHeading(string Title, IReadOnlyList<KeyValuePair<string, string>> Facts)
{
    /// <summary>That of a step's report.</summary>
    /// <param name="uses">The transformer, <c>worker/name</c>.</param>
    /// <param name="run">The run.</param>
    /// <param name="step">The step's number, from 1.</param>
    /// <param name="seconds">How long it took; null when that is not known.</param>
    /// <param name="cached">Whether the result came from the cache.</param>
    public static ReportHeading OfStep(string uses, Guid run, int step, double? seconds, bool cached)
    {
        var facts = new List<KeyValuePair<string, string>> { new("Run", run.ToString()), new("Step", step.ToString(CultureInfo.InvariantCulture)) };
        if (cached)
            facts.Add(new("Result", "from the cache"));
        else if (seconds is { } took)
            facts.Add(new("Seconds", took.ToString("0.0", CultureInfo.InvariantCulture)));
        return new ReportHeading(uses, facts);
    }
}
