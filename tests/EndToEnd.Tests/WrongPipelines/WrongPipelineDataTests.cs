using System.Text.Json.Nodes;
using TinyMLaaS.Documents;

namespace TinyMLaaS.EndToEnd.Tests.WrongPipelines;

/// <summary>The cases themselves, so that none is lost to a misspelt file name or expects what no document can hold.</summary>
public sealed class WrongPipelineDataTests
{
    public static IEnumerable<TheoryDataRow<string>> Names => WrongPipeline.Names;

    [Fact]
    public void Every_document_has_its_expectation_and_several_hold_more_than_one_violation()
    {
        var cases = Names.Select(n => WrongPipeline.Named(n.Data)).ToArray();
        var documents = Directory.EnumerateFiles(WrongPipeline.Folder)
            .Where(f => Path.GetExtension(f) is ".yaml" || (Path.GetExtension(f) is ".json" && !f.EndsWith(".expected.json", StringComparison.Ordinal)));

        Assert.Equal(documents.Order(StringComparer.Ordinal), cases.Select(c => c.DocumentPath).Order(StringComparer.Ordinal));
        Assert.True(cases.Length >= 30, $"{cases.Length} cases");
        Assert.True(cases.Count(c => c.Violations.Count > 1) >= 8, "too few documents hold several violations");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_expectation_names_places_that_its_document_has_or_lacks(string name)
    {
        var expected = WrongPipeline.Named(name);
        Assert.NotEmpty(expected.Violations);
        JsonNode? document;
        try
        {
            document = DocumentReader.Read(File.ReadAllText(expected.DocumentPath));
        }
        catch (DocumentException refusal)
        {
            Assert.Equal([new ExpectedViolation { Field = "", Code = refusal.Code }], expected.Violations);
            return;
        }
        foreach (var violation in expected.Violations)
        {
            var parts = violation.Field.Split('/').Skip(1).Select(p => p.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal)).ToArray();
            Assert.Equal(parts is ["steps", var index, ..] ? int.Parse(index) + 1 : null, violation.Step);
            var isThere = violation.Field.Length == 0 || Parent(document, parts) switch
            {
                JsonObject members => members.ContainsKey(parts[^1]),
                JsonArray items => int.Parse(parts[^1]) < items.Count,
                _ => false,
            };
            Assert.Equal(violation.Code is not ("missing-field" or "missing-dataset"), isThere);
        }
    }

    private static JsonNode? Parent(JsonNode? document, string[] parts) =>
        parts[..^1].Aggregate(document, (node, part) => node is JsonArray items ? items[int.Parse(part)] : (node as JsonObject)?[part]);
}
