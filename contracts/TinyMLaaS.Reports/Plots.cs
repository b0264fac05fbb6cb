using System.Globalization;
using System.Text.Json;

namespace TinyMLaaS.Reports;

/// <summary>The drawings of a page, as SVG.</summary>
internal static class Plots
{
    // Above it one noise is as good as the next.
    private const double MostDecibels = 70;

    // Below it a layer is worth a look: a tenth of the amplitude is noise.
    private const double LowDecibels = 20;

    private const double Left = 34, Top = 8, Width = 920, Height = 180, LegendHeight = 24;

    /// <summary>Columns of decibels against the rows' order, which is that of the network.</summary>
    public static void Decibels(HtmlText html, JsonElement[] rows, string[] columns, Func<string, string> label)
    {
        html.Raw(Invariant($"<svg viewBox=\"0 0 {Left + Width + 10} {Top + Height + LegendHeight + 4}\" width=\"{Left + Width + 10}\" role=\"img\"><title>")).Text("Signal to quantization noise by row, in the network's order; higher is better")
            .Raw("</title>\n");
        for (var decibels = 0; decibels <= MostDecibels; decibels += 10)
        {
            html.Raw(Invariant($"<line class=\"{(decibels == LowDecibels ? "low" : "grid")}\" x1=\"{Left}\" x2=\"{Left + Width}\" y1=\"{Y(decibels)}\" y2=\"{Y(decibels)}\"/>"));
            if (decibels % 20 == 0)
                html.Raw(Invariant($"<text class=\"axis\" text-anchor=\"end\" x=\"{Left - 6}\" y=\"{Y(decibels)}\" dy=\"4\">{decibels}</text>"));
        }
        html.Raw("\n");
        for (var column = 0; column < columns.Length; column++)
        {
            (int Row, double Value)[] points = [.. rows.Select((r, i) => (i, ReportPage.Number(ReportPage.Cell(r, columns[column])))).Where(p => p.Item2 is not null).Select(p => (p.i, p.Item2!.Value))];
            var kind = column % 3;
            html.Raw($"<polyline class=\"s{kind} line\" points=\"").Raw(string.Join(' ', points.Select(p => $"{X(p.Row, rows.Length)},{Y(p.Value)}"))).Raw("\"/>\n");
            foreach (var (row, value) in points)
            {
                html.Raw($"<circle class=\"s{kind}\" cx=\"{X(row, rows.Length)}\" cy=\"{Y(value)}\" r=\"2.5\"><title>").Text(Name(rows[row]) + ": " + label(columns[column]) + " " + value.ToString("0.0", CultureInfo.InvariantCulture)).Raw("</title></circle>\n");
            }
            html.Raw(Invariant($"<rect class=\"s{kind}\" x=\"{Left + (column * 200)}\" y=\"{Top + Height + 14}\" width=\"10\" height=\"10\"/><text x=\"{Left + (column * 200) + 15}\" y=\"{Top + Height + 23}\">")).Text(label(columns[column])).Raw("</text>\n");
        }
        html.Raw("</svg>\n");
    }

    /// <summary>How often each word occurs, the most frequent first.</summary>
    public static void Counts(HtmlText html, IEnumerable<string> words)
    {
        (string Word, int Count)[] counts = [.. words.GroupBy(w => w, StringComparer.Ordinal).Select(g => (g.Key, g.Count())).OrderByDescending(g => g.Item2).ThenBy(g => g.Key, StringComparer.Ordinal)];
        html.Raw("<table>\n<tbody>\n");
        foreach (var (word, count) in counts.Take(40))
        {
            html.Raw("<tr><td>").Text(word).Raw("</td><td class=\"number\">").Text(count.ToString("N0", CultureInfo.InvariantCulture)).Raw("</td><td>");
            Bar(html, (double)count / counts[0].Count);
            html.Raw("</td></tr>\n");
        }
        html.Raw("</tbody>\n</table>\n");
    }

    /// <summary>A share of what was, as a bar and in figures.</summary>
    public static void Share(HtmlText html, double share)
    {
        html.Text(share.ToString("0.000", CultureInfo.InvariantCulture));
        Bar(html, share);
    }

    /// <summary>A row's histogram; the range that the row chose, if it says so, between two lines.</summary>
    public static void Histogram(HtmlText html, JsonElement row, JsonElement shares)
    {
        const double width = 128, height = 26;
        double[] values = [.. shares.EnumerateArray().Select(s => ReportPage.Number(s) ?? 0)];
        var largest = values.DefaultIfEmpty().Max();
        if (largest <= 0)
            return;
        html.Raw(Invariant($"<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\"><title>distribution of its values, heights as square roots</title>"));
        var bar = width / values.Length;
        for (var i = 0; i < values.Length; i++)
        {
            // Square roots: what is rare is what clipping is about, and must be seen.
            var tall = (height - 2) * Math.Sqrt(Math.Max(0, values[i]) / largest);
            if (tall > 0)
                html.Raw($"<rect class=\"bar\" x=\"{HtmlText.Length(i * bar)}\" y=\"{HtmlText.Length(height - tall)}\" width=\"{HtmlText.Length(Math.Max(1, bar - 0.5))}\" height=\"{HtmlText.Length(tall)}\"/>");
        }
        if (Value(row, "observedMinimum") is { } least && Value(row, "observedMaximum") is { } most && most > least)
        {
            foreach (var limit in new[] { Value(row, "minimum"), Value(row, "maximum") })
            {
                if (limit > least && limit < most)
                    html.Raw($"<line class=\"limit\" x1=\"{HtmlText.Length((limit.Value - least) / (most - least) * width)}\" x2=\"{HtmlText.Length((limit.Value - least) / (most - least) * width)}\" y1=\"0\" y2=\"{HtmlText.Length(height)}\"/>");
            }
        }
        html.Raw("</svg>");
    }

    private static void Bar(HtmlText html, double share)
    {
        var filled = Math.Clamp(share, 0, 1) * 160;
        html.Raw($"<svg viewBox=\"0 0 160 8\" width=\"160\" height=\"8\" aria-hidden=\"true\"><rect class=\"rest\" width=\"160\" height=\"8\"/><rect class=\"bar\" width=\"{HtmlText.Length(filled)}\" height=\"8\"/></svg>");
    }

    private static double? Value(JsonElement row, string column) => ReportPage.Number(ReportPage.Cell(row, column));

    private static string Name(JsonElement row) => row.EnumerateObject().FirstOrDefault() is { Value.ValueKind: JsonValueKind.String } first ? first.Value.GetString()! : "row";

    private static string X(int row, int rows) => HtmlText.Length(Left + ((row + 0.5) * Width / rows));

    private static string Y(double decibels) => HtmlText.Length(Top + Height - (Math.Clamp(decibels, 0, MostDecibels) / MostDecibels * Height));

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
