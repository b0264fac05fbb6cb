using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;

namespace TinyMLaaS.Reports;

/// <summary>Text of a page, in which only what is written as such is markup.</summary>
internal sealed class HtmlText
{
    private readonly StringBuilder _text = new();

    /// <summary>Markup of this program's own.</summary>
    public HtmlText Raw(string markup)
    {
        _text.Append(markup);
        return this;
    }

    /// <summary>Text of any origin, encoded.</summary>
    public HtmlText Text(string text)
    {
        _text.Append(HtmlEncoder.Default.Encode(text));
        return this;
    }

    /// <summary>An element that holds text alone.</summary>
    public HtmlText Element(string name, string text) => Raw($"<{name}>").Text(text).Raw($"</{name}>\n");

    /// <summary>A length in a drawing, to a tenth.</summary>
    public static string Length(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);

    public override string ToString() => _text.ToString();
}
