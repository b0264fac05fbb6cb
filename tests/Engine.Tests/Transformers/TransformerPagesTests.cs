using System.Text.Json;
using TinyMLaaS.Engine.OnnxRuntime.Evaluate;
using TinyMLaaS.Engine.OnnxRuntime.Float16;
using TinyMLaaS.Engine.OnnxRuntime.Quantize;
using TinyMLaaS.Engine.OnnxRuntime.QuantizeDynamic;
using TinyMLaaS.Engine.Packaging;
using TinyMLaaS.Engine.Transformers;
using TinyMLaaS.Engine.Transformers.Bundle;
using TinyMLaaS.Engine.Transformers.Container;
using TinyMLaaS.Engine.Transformers.Fuse;

namespace TinyMLaaS.Engine.Tests.Transformers;

/// <summary>The pages under <c>docs/transformers</c> say what the code says.</summary>
public sealed class TransformerPagesTests
{
    private static readonly ITransformer[] All = [new Fuse(), new Quantize(), new QuantizeDynamic(), new ToFloat16(), new Evaluate(), new Bundle(PackageSigner.Development), new Container(new ContainerParts("", new Dictionary<string, string>()), PackageSigner.Development)];

    public static TheoryData<string> Names => [.. All.Select(t => t.Info.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void The_table_of_options_is_the_options_record(string name)
    {
        var transformer = All.Single(t => t.Info.Name == name);
        var expected = TransformerOptions.Schema(transformer.Info.Options).GetProperty("properties").EnumerateObject().Select(Row);
        var page = File.ReadAllLines(Path.Combine(Pages(), name.Replace('/', '-') + ".md"));
        var actual = page.SkipWhile(l => l != "## Options").SkipWhile(l => !l.StartsWith("|---", StringComparison.Ordinal)).Skip(1).TakeWhile(l => l.StartsWith('|'));
        Assert.Equal(expected, actual);
    }

    [Fact]
    public void There_is_a_page_for_each_transformer_and_no_other()
    {
        var expected = All.Select(t => t.Info.Name.Replace('/', '-') + ".md").Append("README.md").Order(StringComparer.Ordinal);
        Assert.Equal(expected, Directory.EnumerateFiles(Pages()).Select(p => Path.GetFileName(p)).Order(StringComparer.Ordinal));
    }

    private static string Row(JsonProperty option)
    {
        var schema = option.Value;
        var type = schema.TryGetProperty("enum", out var values)
            ? string.Join(", ", values.EnumerateArray().Select(v => $"`{v.GetString()}`"))
            : First(schema.GetProperty("type")) switch
            {
                "boolean" => "true or false",
                "array" => "list of text",
                "string" => "text",
                "integer" => "whole number",
                var other => other,
            };
        var value = !schema.TryGetProperty("default", out var given) || given.ValueKind == JsonValueKind.Null ? "none"
            : given.ValueKind == JsonValueKind.String ? $"`{given.GetString()}`"
            : $"`{given.GetRawText()}`";
        return $"| `{option.Name}` | {type} | {value} | {schema.GetProperty("description").GetString()} |";
    }

    private static string? First(JsonElement type) => type.ValueKind == JsonValueKind.Array ? type[0].GetString() : type.GetString();

    private static string Pages()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "TinyMLaaS.sln")))
            folder = folder.Parent;
        return Path.Combine(folder!.FullName, "docs", "transformers");
    }
}
