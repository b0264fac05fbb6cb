using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
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
    public void Timeouts_and_retries_have_the_fields_of_their_records()
    {
        var step = Schema["properties"]!["steps"]!["items"]!["properties"]!;
        AssertAgree(Schema["properties"]!["timeouts"]!.AsObject(), typeof(RunTimeouts));
        AssertAgree(step["timeouts"]!.AsObject(), typeof(StepTimeouts));
        AssertAgree(step["retry"]!.AsObject(), typeof(StepRetry));
        Assert.Equal([LeaseLossPolicies.Retry, LeaseLossPolicies.Wait, LeaseLossPolicies.Fail], step["on-lease-lost"]!["enum"]!.AsArray().Select(p => (string)p!));
    }

    [Theory]
    [InlineData("1s", 1)]
    [InlineData("90s", 90)]
    [InlineData("30m", 1800)]
    [InlineData("2h", 7200)]
    [InlineData("365d", 31536000)]
    [InlineData("366d", null)]
    [InlineData("99999999d", null)]
    [InlineData("30", null)]
    [InlineData("m", null)]
    [InlineData("", null)]
    [InlineData("1.5h", null)]
    [InlineData("-1s", null)]
    [InlineData("1 h", null)]
    [InlineData("1w", null)]
    [InlineData(null, null)]
    public void A_duration_is_a_whole_number_and_a_unit(string? text, int? seconds) =>
        Assert.Equal(seconds is { } s ? TimeSpan.FromSeconds(s) : null, Durations.Read(text));

    [Theory]
    [InlineData(0, "0s")]
    [InlineData(0.25, "0.25s")]
    [InlineData(59, "59s")]
    [InlineData(60, "1m")]
    [InlineData(5400, "90m")]
    [InlineData(86400, "1d")]
    [InlineData(90000, "25h")]
    public void A_duration_is_written_in_the_largest_unit_that_fits(double seconds, string text) => Assert.Equal(text, Durations.Write(TimeSpan.FromSeconds(seconds)));

    [Fact]
    public void The_metrics_are_those_of_the_interface() => Assert.Equal(
        ["top1", "auc-mse", "mse", "sqnr", "agreement"],
        Schema["properties"]!["evaluate"]!["properties"]!["metric"]!["enum"]!.AsArray().Select(m => (string)m!));

    [Fact]
    public void The_published_file_is_the_one_in_the_assembly() =>
        Assert.Equal(File.ReadAllText(Repository.Path("contracts/TinyMLaaS.Contracts/Pipelines/pipeline.schema.json")), PipelineSchema.Text);

    private static void AssertAgree(JsonObject schema, Type record)
    {
        string Name(PropertyInfo property) => property.GetCustomAttribute<JsonPropertyNameAttribute>()?.Name ?? JsonNamingPolicy.CamelCase.ConvertName(property.Name);
        var properties = record.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.SetMethod is not null).ToArray();
        var required = properties.Where(p => p.IsDefined(typeof(System.Runtime.CompilerServices.RequiredMemberAttribute), inherit: false)).ToArray();

        Assert.Equal(properties.Select(Name).Order(StringComparer.Ordinal), schema["properties"]!.AsObject().Select(p => p.Key).Order(StringComparer.Ordinal));
        Assert.Equal(required.Select(Name).Order(StringComparer.Ordinal), (schema["required"]?.AsArray() ?? []).Select(r => (string)r!).Order(StringComparer.Ordinal));
        Assert.False((bool)schema["additionalProperties"]!);
    }
}
