using System.Text.Json;
using System.Xml.Linq;
using TinyMLaaS.Reports;

namespace TinyMLaaS.Contracts.Tests.Reports;

public sealed class ReportPageTests
{
    private static readonly ReportHeading Heading = ReportHeading.OfStep("compiler/quantize", Guid.Parse("01a2076d-b2c2-7b29-84bb-7835cd086971"), 2, 1.25, cached: false);

    private static string Render(string report) => ReportPage.Render(Heading, JsonElement.Parse(report));

    /// <summary>The page's body as a tree: it is well-formed, so that a reader other than a browser can be the judge.</summary>
    private static XElement Body(string page) => XElement.Parse(page[page.IndexOf("<body>", StringComparison.Ordinal)..page.IndexOf("</html>", StringComparison.Ordinal)]);

    private static string[] Texts(XElement root, string element) => [.. root.Descendants(element).Select(e => e.Value)];

    [Fact]
    public void Shows_figures_before_and_after_with_what_is_left()
    {
        var body = Body(Render("""{"before":{"bytes":652672,"macs":10},"after":{"bytes":184487,"macs":10}}"""));
        Assert.Equal(["Bytes", "MACs"], Texts(body.Descendants("tbody").Single(), "th"));
        Assert.Equal(["652,672", "184,487", "0.283", "10", "10", "1.000"], Texts(body.Descendants("tbody").Single(), "td"));
        // 160 is a full bar.
        Assert.Equal(["45.2", "160"], body.Descendants("rect").Where(r => (string?)r.Attribute("class") == "bar").Select(r => (string)r.Attribute("width")!));
    }

    [Fact]
    public void Says_where_it_comes_from_and_warns_first()
    {
        var page = Render("""{"quantized":[],"estimatedTimeRatio":1.5,"warnings":["It is slower."],"message":"As it was."}""");
        var body = Body(page);
        Assert.Equal(["compiler/quantize"], Texts(body, "h1"));
        Assert.Equal(["01a2076d-b2c2-7b29-84bb-7835cd086971", "2", "1.3", "none", "1.5"], Texts(body, "dd"));
        Assert.Equal(["As it was.", "Warning It is slower."], Texts(body, "p"));
        Assert.Equal(page, Render("""{"quantized":[],"estimatedTimeRatio":1.5,"warnings":["It is slower."],"message":"As it was."}"""));
    }

    [Fact]
    public void Draws_decibels_where_they_belong()
    {
        var body = Body(Render("""{"quantized":[{"node":"a","weightSqnrDb":70,"outputSqnrDb":35},{"node":"b","weightSqnrDb":0,"outputSqnrDb":null},{"node":"c","weightSqnrDb":200}]}"""));
        // 70 dB and more is the top, at 8, and 0 the bottom, at 188; a row without a figure has no point.
        Assert.Equal([("187.3", "8"), ("494", "188"), ("800.7", "8"), ("187.3", "98")], body.Descendants("circle").Select(c => ((string)c.Attribute("cx")!, (string)c.Attribute("cy")!)));
        Assert.Equal("a: Weight SQNR (dB) 70.0", body.Descendants("circle").First().Value);
        Assert.Equal(["Node", "Weight SQNR (dB)", "Output SQNR (dB)"], Texts(body.Descendants("thead").Single(), "th"));
        Assert.Equal(["a", "70.0", "35.0", "b", "0.0", "", "c", "200.0", ""], Texts(body.Descendants("tbody").Single(), "td"));
    }

    [Fact]
    public void Draws_a_histogram_between_the_limits_that_were_chosen()
    {
        var body = Body(Render("""{"tensors":[{"name":"t","minimum":-1,"maximum":2,"observedMinimum":-1,"observedMaximum":3,"histogram":[0.64,0,0.16,0.04],"clippedMass":0.04},{"name":"u","histogram":[1],"clippedMass":0.00001}]}"""));
        var plot = body.Descendants("svg").First();
        Assert.Equal([("0", "24"), ("64", "12"), ("96", "6")], plot.Elements("rect").Select(r => ((string)r.Attribute("x")!, (string)r.Attribute("height")!)));
        Assert.Equal(["96"], plot.Elements("line").Select(l => (string)l.Attribute("x1")!));
        Assert.Contains("4.00 %", Texts(body, "td"));
        Assert.Contains("< 0.01 %", Texts(body, "td"));
    }

    [Fact]
    public void Counts_how_often_each_rule_was_applied()
    {
        var body = Body(Render("""{"fused":[{"rule":"one","node":"a"},{"rule":"two","node":"b"},{"rule":"two","node":"c"}]}"""));
        Assert.Equal(["two", "2", "", "one", "1", ""], Texts(body.Descendants("tbody").First(), "td"));
    }

    [Theory]
    [InlineData("""{"X":"X"}""")]
    [InlineData("""{"warnings":["X"]}""")]
    [InlineData("""{"message":"X"}""")]
    [InlineData("""{"before":{"X":1},"after":{"X":"X"}}""")]
    [InlineData("""{"list":["X"]}""")]
    [InlineData("""{"table":[{"X":"X"}]}""")]
    [InlineData("""{"table":[{"X":"X","sDb":1},{"X":"X","sDb":1}]}""")]
    [InlineData("""{"fused":[{"rule":"X"}]}""")]
    [InlineData("""{"mixed":[1,{"X":"X"}]}""")]
    [InlineData("""{"a":{"b":{"c":{"d":{"e":{"f":{"X":"X"}}}}}}}""")]
    public void Encodes_whatever_text_a_report_holds(string report)
    {
        const string hostile = "</style><script>alert(1)</script><img src=x onerror=alert(1)>&\\\"'";
        var page = ReportPage.Render(new ReportHeading("X".Replace("X", hostile.Replace("\\\"", "\"", StringComparison.Ordinal), StringComparison.Ordinal), []), JsonElement.Parse(report.Replace("X", hostile, StringComparison.Ordinal)));
        var body = Body(page);
        Assert.DoesNotContain(body.DescendantsAndSelf(), e => e.Name.LocalName is "script" or "img");
        Assert.DoesNotContain("<script", page, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("<img", page, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void Bounds_what_a_long_report_shows()
    {
        var rows = string.Join(',', Enumerable.Range(0, ReportPage.MostRows + 5).Select(i => $$"""{"node":"n{{i}}"}"""));
        var body = Body(Render($$"""{"fused":[{{rows}}]}"""));
        Assert.Equal(ReportPage.MostRows, body.Descendants("td").Count());
        Assert.Equal("2,005 rows", Texts(body, "summary").Single());
        Assert.Contains("5 more rows are in the report's JSON.", Texts(body, "p"));
    }

    [Fact]
    public void Needs_nothing_from_elsewhere()
    {
        var page = Render("""{"before":{"bytes":1},"after":{"bytes":1},"quantized":[{"sDb":1},{"sDb":2}]}""");
        Assert.DoesNotContain("http", page, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("url(", page, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void Refuses_what_is_no_object() => Assert.Throws<ArgumentException>(() => Render("[1]"));
}
