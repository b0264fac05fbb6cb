using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using TinyMLaaS.Contracts.Pipelines;

namespace TinyMLaaS.Contracts.Tests;

/// <summary>The published schema and the records say the same.</summary>
public sealed class PipelineSchemaTests
{
    private static readonly JsonObject Schema = JsonNode.Parse(PipelineSchema.Text)!.AsObject();

    [Fact]
    public void The_document_has_the_fields_of_its_record() => AssertAgree(Schema, typeof(PipelineDocument));

    [Fact]
    public void The_evaluation_has_the_fields_of_its_record() => AssertAgree(Schema["properties"]!["evaluate"]!.AsObject(), typeof(PipelineEvaluation));

    [Fact]
    public void A_step_has_the_fields_of_its_record() => AssertAgree(Schema["properties"]!["steps"]!["items"]!.AsObject(), typeof(PipelineStep));

    [Fact]
    public void The_metrics_are_those_of_the_interface() => Assert.Equal(
        ["top1", "auc-mse", "mse", "sqnr", "agreement"],
        Schema["properties"]!["evaluate"]!["properties"]!["metric"]!["enum"]!.AsArray().Select(m => (string)m!));

    [Fact]
    public void The_published_file_is_the_one_in_the_assembly() =>
        Assert.Equal(File.ReadAllText(Repository.Path("contracts/TinyMLaaS.Contracts/Pipelines/pipeline.schema.json")), PipelineSchema.Text);

    private static void AssertAgree(JsonObject schema, Type record)
    {
        string Name(PropertyInfo property) => JsonNamingPolicy.CamelCase.ConvertName(property.Name);
        var properties = record.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.SetMethod is not null).ToArray();
        var required = properties.Where(p => p.IsDefined(typeof(System.Runtime.CompilerServices.RequiredMemberAttribute), inherit: false)).ToArray();

        Assert.Equal(properties.Select(Name).Order(StringComparer.Ordinal), schema["properties"]!.AsObject().Select(p => p.Key).Order(StringComparer.Ordinal));
        Assert.Equal(required.Select(Name).Order(StringComparer.Ordinal), schema["required"]!.AsArray().Select(r => (string)r!).Order(StringComparer.Ordinal));
        Assert.False((bool)schema["additionalProperties"]!);
    }
}
