using System.Globalization;
using System.Text;
using System.Text.Json;

namespace TinyMLaaS.Reports;

/// <summary>
/// A step's report as one HTML page that needs nothing else: no script, no file, no address. It knows no transformer: figures before and after, warnings, tables and lists are shown as they are found, columns in
/// decibels and histograms are drawn as well. The same report gives the same bytes. All text of a report is untrusted, names of nodes among it, and is encoded.
/// </summary>
public static class ReportPage
{
    /// <summary>What a server that sends the page should say in <c>Content-Security-Policy</c>.</summary>
    public const string ContentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

    /// <summary>Rows of a table that are shown; more are counted only.</summary>
    public const int MostRows = 2000;

    // Tables of more rows start closed.
    private const int OpenRows = 40;

    // Deeper nesting is shown as JSON.
    private const int MostLevels = 4;

    private static readonly string[] InFront = ["message", "warnings", "before", "after"];

    /// <summary>Draws the page.</summary>
    /// <param name="heading">Where the report comes from.</param>
    /// <param name="report">The report: a JSON object.</param>
    /// <exception cref="ArgumentException">The report is no object.</exception>
    public static string Render(ReportHeading heading, JsonElement report)
    {
        if (report.ValueKind != JsonValueKind.Object)
            throw new ArgumentException($"A report is an object, not {report.ValueKind}.", nameof(report));
        var html = new HtmlText();
        html.Raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        html.Raw("<title>").Text(heading.Title).Raw("</title>\n<style>\n").Raw(Style).Raw("</style>\n</head>\n<body>\n<main>\n");
        html.Element("h1", heading.Title);
        Facts(html, heading.Facts);
        if (report.TryGetProperty("message", out var message) && message.ValueKind == JsonValueKind.String)
            html.Element("p", message.GetString()!);
        if (report.TryGetProperty("warnings", out var warnings) && warnings.ValueKind == JsonValueKind.Array)
        {
            foreach (var warning in warnings.EnumerateArray())
                html.Raw("<p class=\"warning\"><strong>Warning</strong> ").Text(Words(warning)).Raw("</p>\n");
        }
        Comparison(html, report);
        Members(html, report.EnumerateObject().Where(p => !InFront.Contains(p.Name)), 0);
        html.Raw("</main>\n</body>\n</html>\n");
        return html.ToString();
    }

    private static void Facts(HtmlText html, IReadOnlyList<KeyValuePair<string, string>> facts)
    {
        if (facts.Count == 0)
            return;
        html.Raw("<dl>\n");
        foreach (var (name, value) in facts)
            html.Raw("<div>").Element("dt", name).Element("dd", value).Raw("</div>\n");
        html.Raw("</dl>\n");
    }

    /// <summary>Figures before and after in one table, with what of each is left.</summary>
    private static void Comparison(HtmlText html, JsonElement report)
    {
        if (!report.TryGetProperty("before", out var before) || !report.TryGetProperty("after", out var after) || before.ValueKind != JsonValueKind.Object || after.ValueKind != JsonValueKind.Object)
            return;
        html.Raw("<table class=\"figures\">\n<thead><tr><th></th><th class=\"number\">before</th><th class=\"number\">after</th><th>after / before</th></tr></thead>\n<tbody>\n");
        foreach (var property in before.EnumerateObject())
        {
            if (!after.TryGetProperty(property.Name, out var then))
                continue;
            html.Raw("<tr>").Element("th", Label(property.Name)).Raw("<td class=\"number\">").Text(Words(property.Value)).Raw("</td><td class=\"number\">").Text(Words(then)).Raw("</td><td>");
            if (Number(property.Value) is > 0 and var from && Number(then) is >= 0 and var to)
                Plots.Share(html, to / from);
            html.Raw("</td></tr>\n");
        }
        html.Raw("</tbody>\n</table>\n");
    }

    /// <summary>What is short comes first, in one line; the rest in sections.</summary>
    private static void Members(HtmlText html, IEnumerable<JsonProperty> members, int level)
    {
        JsonProperty[] all = [.. members.Where(m => m.Value.ValueKind != JsonValueKind.Null)];
        Facts(html, [.. all.Where(m => IsShort(m.Value)).Select(m => KeyValuePair.Create(Label(m.Name), Words(m.Name, m.Value)))]);
        foreach (var member in all.Where(m => !IsShort(m.Value)))
            Section(html, member.Name, member.Value, level);
    }

    private static void Section(HtmlText html, string name, JsonElement value, int level)
    {
        var count = value.ValueKind == JsonValueKind.Array ? value.GetArrayLength() : 0;
        html.Raw("<section>\n<h2>").Text(Label(name)).Raw(count > 0 ? $" <small>{count.ToString("N0", CultureInfo.InvariantCulture)}</small>" : "").Raw("</h2>\n");
        Content(html, value, level);
        html.Raw("</section>\n");
    }

    private static void Content(HtmlText html, JsonElement value, int level)
    {
        if (value.ValueKind == JsonValueKind.Object && level < MostLevels)
        {
            Members(html, value.EnumerateObject(), level + 1);
            return;
        }
        if (value.ValueKind != JsonValueKind.Array)
        {
            html.Element("pre", value.GetRawText());
            return;
        }
        JsonElement[] items = [.. value.EnumerateArray()];
        if (items.All(i => i.ValueKind == JsonValueKind.Object))
            Table(html, items);
        else
            List(html, items);
    }

    private static void List(HtmlText html, JsonElement[] items)
    {
        Folded(html, items.Length, "entries", () =>
        {
            html.Raw("<ul>\n");
            foreach (var item in items.Take(MostRows))
                html.Element("li", Words(item));
            html.Raw("</ul>\n");
        });
    }

    private static void Table(HtmlText html, JsonElement[] rows)
    {
        // Columns in the order in which rows first have them.
        string[] columns = [.. rows.Take(MostRows).SelectMany(r => r.EnumerateObject().Select(p => p.Name)).Distinct(StringComparer.Ordinal)];
        string[] decibels = [.. columns.Where(IsDecibels)];
        if (decibels.Length > 0 && rows.Length > 1)
            Plots.Decibels(html, [.. rows.Take(MostRows)], decibels, Label);
        if (columns.Contains("rule"))
            Plots.Counts(html, rows.Select(r => Words(Cell(r, "rule"))));
        Folded(html, rows.Length, "rows", () =>
        {
            html.Raw("<div class=\"wide\"><table>\n<thead><tr>");
            bool[] numbers = [.. columns.Select(c => rows.Take(MostRows).All(r => Cell(r, c).ValueKind is JsonValueKind.Number or JsonValueKind.Null or JsonValueKind.Undefined))];
            for (var i = 0; i < columns.Length; i++)
                html.Raw(numbers[i] ? "<th class=\"number\">" : "<th>").Text(Label(columns[i])).Raw("</th>");
            html.Raw("</tr></thead>\n<tbody>\n");
            foreach (var row in rows.Take(MostRows))
            {
                html.Raw("<tr>");
                for (var i = 0; i < columns.Length; i++)
                {
                    var cell = Cell(row, columns[i]);
                    html.Raw(numbers[i] ? "<td class=\"number\">" : "<td>");
                    if (columns[i] == "histogram" && cell.ValueKind == JsonValueKind.Array)
                        Plots.Histogram(html, row, cell);
                    else
                        html.Text(Words(columns[i], cell));
                    html.Raw("</td>");
                }
                html.Raw("</tr>\n");
            }
            html.Raw("</tbody>\n</table></div>\n");
        });
    }

    private static void Folded(HtmlText html, int count, string what, Action content)
    {
        var isLong = count > OpenRows;
        if (isLong)
            html.Raw("<details><summary>").Text(count.ToString("N0", CultureInfo.InvariantCulture) + " " + what).Raw("</summary>\n");
        content();
        if (count > MostRows)
            html.Element("p", string.Create(CultureInfo.InvariantCulture, $"{count - MostRows:N0} more {what} are in the report's JSON."));
        if (isLong)
            html.Raw("</details>\n");
    }

    internal static JsonElement Cell(JsonElement row, string column) => row.TryGetProperty(column, out var value) ? value : default;

    internal static double? Number(JsonElement value) => value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && double.IsFinite(number) ? number : null;

    /// <summary>True for a column whose numbers are decibels.</summary>
    private static bool IsDecibels(string column) => column.EndsWith("Db", StringComparison.Ordinal);

    private static bool IsShort(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => !value.EnumerateObject().Any(),
        JsonValueKind.Array => value.GetArrayLength() == 0,
        _ => true,
    };

    /// <summary>A named value as a reader wants it: decibels and bits to a tenth, shares in percent.</summary>
    private static string Words(string name, JsonElement value) => Number(value) switch
    {
        { } number when IsDecibels(name) || name.EndsWith("Bits", StringComparison.Ordinal) => number.ToString("0.0", CultureInfo.InvariantCulture),
        { } share when name.EndsWith("Share", StringComparison.Ordinal) || name.EndsWith("Mass", StringComparison.Ordinal) =>
            share is > 0 and < 5e-5 ? "< 0.01 %" : (share * 100).ToString("0.00", CultureInfo.InvariantCulture) + " %",
        _ => value.ValueKind is JsonValueKind.Array or JsonValueKind.Object && IsShort(value) ? "none" : Words(value),
    };

    /// <summary>A value without a name: thousands apart, six digits of fractions, no quotes.</summary>
    internal static string Words(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Undefined or JsonValueKind.Null => "",
        JsonValueKind.True => "yes",
        JsonValueKind.False => "no",
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Number when value.TryGetInt64(out var whole) => whole.ToString("N0", CultureInfo.InvariantCulture),
        JsonValueKind.Number when Number(value) is { } number => number.ToString(Math.Abs(number) is >= 1e-4 and < 1e6 ? "#,##0.######" : "0.####E+0", CultureInfo.InvariantCulture),
        _ => value.GetRawText(),
    };

    /// <summary><c>weightSqnrDb</c> becomes <c>Weight SQNR (dB)</c>.</summary>
    internal static string Label(string name)
    {
        var words = new StringBuilder();
        for (var i = 0; i < name.Length; i++)
        {
            if (i > 0 && char.IsUpper(name[i]))
                words.Append(' ');
            words.Append(i == 0 ? char.ToUpperInvariant(name[i]) : char.ToLowerInvariant(name[i]));
        }
        string[] known = [.. words.ToString().Split(' ').Select(w => w.ToUpperInvariant() switch
        {
            "SQNR" => "SQNR",
            "DB" => "(dB)",
            "MACS" => "MACs",
            "MAC" => "MAC",
            _ => w,
        })];
        return string.Join(' ', known);
    }

    private const string Style = """
        :root { color-scheme: light dark; --line: #8884; --soft: #8881; --ink: light-dark(#1b1f24, #e6e8eb); --one: light-dark(#0b62c4, #6ab0ff); --two: light-dark(#c2570c, #ffa657); --bad: light-dark(#b42318, #ff8a80); }
        body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: light-dark(#fff, #16191d); }
        main { max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
        h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
        h2 { font-size: 1.1rem; margin: 1.75rem 0 .5rem; }
        h2 small { font-weight: 400; opacity: .65; }
        dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: .5rem 0 1rem; }
        dt { font-size: .8rem; opacity: .7; }
        dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
        table { border-collapse: collapse; font-size: .9rem; }
        th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
        th { white-space: nowrap; }
        td { max-width: 24rem; overflow-wrap: anywhere; min-width: 4rem; }
        td:first-child { min-width: 14rem; }
        .figures td:first-child { min-width: 4rem; }
        thead th { position: sticky; top: 0; background: light-dark(#fff, #16191d); }
        .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
        .wide { overflow-x: auto; }
        .warning { border-left: .3rem solid var(--two); background: var(--soft); padding: .5rem .75rem; margin: .5rem 0; }
        summary { cursor: pointer; padding: .25rem 0; }
        pre { overflow-x: auto; }
        svg { display: block; }
        svg[role] { max-width: 100%; height: auto; margin-bottom: .75rem; }
        td svg[role] { max-width: none; margin: 0; }
        details, .wide { margin-top: .75rem; }
        svg text { fill: currentColor; font: 11px system-ui, sans-serif; }
        .grid { stroke: var(--line); } .low { stroke: var(--bad); stroke-dasharray: 4 3; } .axis { opacity: .7; }
        .s0 { fill: var(--one); stroke: var(--one); } .s1 { fill: var(--two); stroke: var(--two); } .s2 { fill: #7a4fc9; stroke: #7a4fc9; }
        .line { fill: none; stroke-width: 1.5; opacity: .6; } .bar { fill: var(--one); } .rest { fill: var(--soft); } .limit { stroke: var(--bad); }

        """;
}
